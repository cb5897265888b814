package oracle

// CompareDecoded returns the fields in which two decoders differ. A field that
// one of them cannot tell is left out, and nothing is compared if one of them
// has no table for the string (Covered is false). Of two invalid strings
// nothing but that is compared: where a decoder gave up is its own affair. A
// decoder that died or hung differs in validity from one that did not.
func CompareDecoded(a, b *Decoded) DecodedField {
	if !a.Covered || !b.Covered {
		return 0
	}
	if a.Valid != b.Valid || a.Ending != b.Ending {
		return DecodedValidity
	}
	if !a.Valid {
		return 0
	}
	var d DecodedField
	if a.Length != b.Length && !a.UnknownLength && !b.UnknownLength {
		d |= DecodedLength
	}
	if a.Mnemonic != b.Mnemonic && !a.UnknownMnemonic && !b.UnknownMnemonic {
		d |= DecodedMnemonic
	}
	if !a.UnknownOperands && !b.UnknownOperands && !equalOperands(a, b) {
		d |= DecodedOperands
	}
	return d
}

func equalOperands(a, b *Decoded) bool {
	if a.NumOperands != b.NumOperands {
		return false
	}
	for i := range a.NumOperands {
		if a.Operands[i] != b.Operands[i] {
			return false
		}
	}
	return true
}
