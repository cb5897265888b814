package x86asm

import (
	"slices"
	"strings"

	"github.com/seed-4e121ece/ringfence/emulator/isa"
	"github.com/seed-4e121ece/ringfence/emulator/x86"
	"github.com/seed-4e121ece/ringfence/oracle"
)

// unknown is a row for instructions of which x86asm has no entry: one opcode,
// one condition, the evidence of what it rejects.
func unknown(name string, names []string, m isa.Map, opcodes []byte, when func(l *oracle.Lexed) bool, what string, evidence ...oracle.Evidence) oracle.Quirk {
	return oracle.Quirk{
		Engine: Name, Name: name, Map: m, Opcodes: opcodes, When: when, Decoded: oracle.DecodedValidity, Wrong: rejectsAs(names...),
		Reason: "x86asm does not know " + what, Evidence: evidence,
	}
}

// privileged is evidence of an instruction that x86asm rejects and that a
// process cannot run either, so that the manual alone says so.
func privileged(bytes, truth, source string) oracle.Evidence {
	return oracle.Evidence{Bytes: bytes, Mode: x86.Long64, Says: "invalid", Truth: truth, Source: source}
}

// unknownGroup7 are the ModRM bytes of group 7 with registers that x86asm does
// not know, by mandatory prefix (SDM vol. 2, table A-6; AMD APM vol. 3, table
// D8 to DF, the SVM instructions, ignore prefixes.
var unknownGroup7 = map[byte][]byte{
	0:    {0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xca, 0xcb, 0xcf, 0xd4, 0xd7, 0xe8, 0xee, 0xef, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff},
	0x66: {0xcc, 0xcd, 0xce, 0xcf},
	0xf2: {0xc6, 0xca, 0xe8, 0xe9, 0xfd, 0xfe, 0xff},
	0xf3: {0xc6, 0xca, 0xe8, 0xea, 0xec, 0xed, 0xee, 0xef, 0xfa, 0xfd, 0xfe, 0xff},
}

// group7Names are what stands there.
var group7Names = []string{
	"ENCLV", "VMCALL", "VMLAUNCH", "VMRESUME", "VMXOFF", "PCONFIG", "WRMSRNS", "RDMSRLIST", "WRMSRLIST", "CLAC", "STAC",
	"ENCLS", "VMFUNC", "ENCLU", "VMRUN", "VMMCALL", "VMLOAD", "VMSAVE", "STGI", "CLGI", "SKINIT", "INVLPGA", "SERIALIZE",
	"XSUSLDTRK", "XRESLDTRK", "SETSSBSY", "SAVEPREVSSP", "RSTORSSP", "UIRET", "TESTUI", "CLUI", "STUI", "RDPKRU", "WRPKRU",
	"MONITORX", "MWAITX", "CLZERO", "RDPRU", "INVLPGB", "TLBSYNC",
	"ERETS", "ERETU", "TDCALL", "SEAMRET", "SEAMOPS", "SEAMCALL", "PBNDKB", "PSMASH", "PVALIDATE", "RMPADJUST", "RMPUPDATE", "RMPQUERY",
	"RMPREAD", "MCOMMIT",
}

// keyLockerNames and padlockNames are the instructions of the two extensions.
var (
	keyLockerNames = []string{
		"AESENC128KL", "AESDEC128KL", "AESENC256KL", "AESDEC256KL", "AESENCWIDE128KL", "AESDECWIDE128KL", "AESENCWIDE256KL", "AESDECWIDE256KL",
		"LOADIWKEY", "ENCODEKEY128", "ENCODEKEY256",
	}
	cmpccxaddNames = []string{
		"CMPOXADD", "CMPNOXADD", "CMPBXADD", "CMPNBXADD", "CMPZXADD", "CMPNZXADD", "CMPBEXADD", "CMPNBEXADD",
		"CMPSXADD", "CMPNSXADD", "CMPPXADD", "CMPNPXADD", "CMPLXADD", "CMPNLXADD", "CMPLEXADD", "CMPNLEXADD",
	}
	padlockNames = []string{"XSTORE", "XCRYPTECB", "XCRYPTCBC", "XCRYPTCTR", "XCRYPTCFB", "XCRYPTOFB", "MONTMUL", "XSHA1", "XSHA256"}
)

// namesOf returns the names of some rows.
func namesOf(which func(r *isa.Row) bool) []string {
	var names []string
	for i := range isa.Rows() {
		if r := &isa.Rows()[i]; which(r) && !slices.Contains(names, r.Mnemonic.String()) {
			names = append(names, r.Mnemonic.String())
		}
	}
	return names
}

// isTile says whether the row is one of AMX.
func isTile(r *isa.Row) bool {
	name := r.Mnemonic.String()
	return name[0] == 'T' && (r.Map == isa.MapVEX2 || r.Map >= isa.MapEVEX1) || strings.HasSuffix(name, "TILECFG")
}

// absent is evidence of an instruction that x86asm rejects and that only CPUs
// with its extension have, so that the manual alone says so.
func absent(bytes, truth, source string) oracle.Evidence { return privileged(bytes, truth, source) }

// unknownQuirks are about instructions that are not in x86asm's table.
var unknownQuirks = []oracle.Quirk{
	unknown("getsec", []string{"GETSEC"}, isa.Map0F, []byte{0x37}, nil, "GETSEC", privileged("0f37", "2 GETSEC", "SDM vol. 2, GETSEC")),
	unknown("mpx", []string{"BNDMK", "BNDCL", "BNDCU", "BNDCN", "BNDMOV", "BNDLDX", "BNDSTX"}, isa.Map0F, []byte{0x1a, 0x1b}, nil, "MPX",
		rejected("f30f1b03", 4, "4 BNDMK", "SDM vol. 2, BNDMK"), rejected("660f1ac1", 4, "4 BNDMOV", "SDM vol. 2, BNDMOV"),
		rejected("0f1a03", 3, "3 BNDLDX", "SDM vol. 2, BNDLDX")),
	unknown("vmread-vmwrite", []string{"VMREAD", "VMWRITE"}, isa.Map0F, []byte{0x78, 0x79}, plain, "VMREAD and VMWRITE",
		privileged("0f7800", "3 VMREAD", "SDM vol. 3, VMREAD"), privileged("0f79c1", "3 VMWRITE", "SDM vol. 3, VMWRITE")),
	unknown("adx-cet", []string{"ADCX", "ADOX", "WRSSD", "WRSSQ", "WRUSSD", "WRUSSQ"}, isa.Map0F38, []byte{0xf5, 0xf6}, func(l *oracle.Lexed) bool {
		if p := mandatory(l); l.Opcode == 0xf5 || p == 0 {
			return memoryForm(l) && (p == 0x66) == (l.Opcode == 0xf5)
		}
		return l.Rep != 0xf2
	}, "ADCX, ADOX, WRSS and WRUSS",
		rejected("660f38f6c1", 5, "5 ADCX", "SDM vol. 2, ADCX"), rejected("f30f38f6c1", 5, "5 ADOX", "SDM vol. 2, ADOX"),
		privileged("0f38f600", "4 WRSSD", "SDM vol. 2, WRSSD"), privileged("660f38f500", "5 WRUSSD", "SDM vol. 2, WRUSSD")),
	unknown("direct-stores", []string{"MOVDIR64B", "MOVDIRI", "ENQCMD", "ENQCMDS"}, isa.Map0F38, []byte{0xf8, 0xf9},
		func(l *oracle.Lexed) bool { return memoryForm(l) && prefixed(l) == (l.Opcode == 0xf8) },
		"MOVDIR64B, MOVDIRI, ENQCMD and ENQCMDS",
		rejected("0f38f900", 4, "4 MOVDIRI", "SDM vol. 2, MOVDIRI"), rejected("660f38f800", 5, "5 MOVDIR64B", "SDM vol. 2, MOVDIR64B"),
		privileged("f20f38f800", "5 ENQCMD", "SDM vol. 2, ENQCMD")),
	unknown("invept-invvpid", []string{"INVEPT", "INVVPID"}, isa.Map0F38, []byte{0x80, 0x81}, func(l *oracle.Lexed) bool { return mandatory(l) == 0x66 && memoryForm(l) }, "INVEPT and INVVPID",
		privileged("660f388000", "5 INVEPT", "SDM vol. 3, INVEPT"), privileged("660f388100", "5 INVVPID", "SDM vol. 3, INVVPID")),
	unknown("group9", []string{"RDSEED", "RDPID", "VMPTRLD", "VMPTRST", "VMCLEAR", "VMXON", "SENDUIPI"}, isa.Map0F, []byte{0xc7}, func(l *oracle.Lexed) bool {
		p := mandatory(l)
		switch {
		case l.Mod() == 3:
			return l.Reg() == 7 && p != 0xf2
		case l.Reg() == 6:
			return p != 0xf2
		}
		return l.Reg() == 7 && p == 0
	},
		"RDSEED, RDPID, VMPTRLD, VMPTRST, VMCLEAR, VMXON and SENDUIPI",
		rejected("0fc7f8", 3, "3 RDSEED", "SDM vol. 2, RDSEED"), rejected("f30fc7f8", 4, "4 RDPID", "SDM vol. 2, RDPID"),
		privileged("0fc730", "3 VMPTRLD", "SDM vol. 3, VMPTRLD"), privileged("0fc738", "3 VMPTRST", "SDM vol. 3, VMPTRST")),
	unknown("lkgs", []string{"LKGS"}, isa.Map0F, []byte{0x00}, func(l *oracle.Lexed) bool { return l.Reg() == 6 && l.Rep == 0xf2 }, "LKGS",
		privileged("f20f00f0", "4 LKGS", "Intel FRED specification, LKGS")),
	unknown("group7", group7Names, isa.Map0F, []byte{0x01},
		func(l *oracle.Lexed) bool {
			if memoryForm(l) {
				return l.Rep == 0xf3 && l.Reg() == 5
			}
			return slices.Contains(unknownGroup7[mandatory(l)], l.ModRM) || l.ModRM >= 0xd8 && l.ModRM <= 0xdf
		},
		"CLAC, STAC, RDPKRU, WRPKRU, SERIALIZE and most others of group 7",
		privileged("0f01ca", "3 CLAC", "SDM vol. 2, CLAC"), privileged("0f01ee", "3 RDPKRU", "SDM vol. 2, RDPKRU"),
		rejected("0f01e8", 3, "3 SERIALIZE", "SDM vol. 2, SERIALIZE"), privileged("f30f0128", "4 RSTORSSP", "SDM vol. 2, RSTORSSP")),
	unknown("group15", []string{"TPAUSE", "UMWAIT", "UMONITOR", "INCSSPD", "INCSSPQ", "PTWRITE"}, isa.Map0F, []byte{0xae},
		func(l *oracle.Lexed) bool {
			switch {
			case memoryForm(l):
				return false
			case l.Reg() == 6:
				return prefixed(l) && l.RM() != 0
			}
			return l.Rep == 0xf3 && (l.Reg() == 4 || l.Reg() == 5 && l.RM() != 0)
		},
		"TPAUSE, UMWAIT, UMONITOR and INCSSP with rm other than 0, PTWRITE with a register",
		privileged("660faef1", "4 TPAUSE", "SDM vol. 2, TPAUSE"), privileged("f20faef1", "4 UMWAIT", "SDM vol. 2, UMWAIT"),
		privileged("f30faef1", "4 UMONITOR", "SDM vol. 2, UMONITOR"), privileged("f30faee9", "4 INCSSPD", "SDM vol. 2, INCSSPD")),
	unknown("user-msr", []string{"URDMSR", "UWRMSR"}, isa.Map0F38, []byte{0xf8}, func(l *oracle.Lexed) bool { return l.Rep != 0 && !memoryForm(l) }, "URDMSR and UWRMSR",
		privileged("f20f38f8c1", "5 URDMSR", "SDM vol. 2, URDMSR"), privileged("f30f38f8c1", "5 UWRMSR", "SDM vol. 2, UWRMSR")),
	unknown("rao-int", []string{"AADD", "AAND", "AOR", "AXOR"}, isa.Map0F38, []byte{0xfc}, memoryForm, "AADD, AAND, AOR and AXOR",
		absent("0f38fc00", "4 AADD", "SDM vol. 2, AADD"), absent("f20f38fc00", "5 AOR", "SDM vol. 2, AOR")),
	unknown("movrs", []string{"MOVRS"}, isa.Map0F38, []byte{0x8a, 0x8b}, memoryForm, "MOVRS",
		absent("0f388a00", "4 MOVRS", "Intel ISE reference, MOVRS"), absent("0f388b00", "4 MOVRS", "Intel ISE reference, MOVRS")),
	unknown("key-locker", keyLockerNames, isa.Map0F38, []byte{0xd8, 0xdc, 0xdd, 0xde, 0xdf, 0xfa, 0xfb}, func(l *oracle.Lexed) bool { return l.Rep == 0xf3 }, "Key Locker",
		absent("f30f38dd00", "5 AESDEC128KL", "SDM vol. 2, AESDEC128KL"), absent("f30f38dcc1", "5 LOADIWKEY", "SDM vol. 2, LOADIWKEY"),
		absent("f30f38fac1", "5 ENCODEKEY128", "SDM vol. 2, ENCODEKEY128"), absent("f30f38d800", "5 AESENCWIDE128KL", "SDM vol. 2, AESENCWIDE128KL")),
	unknown("padlock", padlockNames, isa.Map0F, []byte{0xa6, 0xa7}, func(l *oracle.Lexed) bool { return !memoryForm(l) && l.RM() == 0 }, "VIA PadLock",
		absent("0fa7c0", "3 XSTORE", "VIA PadLock programming guide"), absent("f30fa6c0", "4 MONTMUL", "VIA PadLock programming guide")),
	unknown("cmpccxadd", cmpccxaddNames, isa.MapVEX2, []byte{0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee, 0xef},
		func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX && l.PP == 0x66 && memoryForm(l) }, "CMPccXADD",
		absent("c4e261e000", "5 CMPOXADD", "SDM vol. 2, CMPccXADD"), absent("c4e2e1ef00", "5 CMPNLEXADD", "SDM vol. 2, CMPccXADD")),
	unknown("vpmovssdb", []string{"VPMOVSSDB"}, isa.MapVEX2, []byte{0x41}, isEVEX, "VPMOVSSDB", absent("62f27e0841c1", "6 VPMOVSSDB", "Intel AVX10 V2 AUX specification")),
	unknown("vunpackb", []string{"VUNPACKB"}, isa.MapVEX3, []byte{0x3d}, isEVEX, "VUNPACKB", absent("62f37c083dc100", "7 VUNPACKB", "Intel AVX10 V2 AUX specification")),
	unknown("xop", namesOf(func(r *isa.Row) bool { return r.Map >= isa.MapXOP8 && r.Map <= isa.MapXOPA }), 0, nil,
		func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeXOP }, "XOP, TBM and LWP",
		absent("8fe878a2c200", "6 VPCMOV", "APM vol. 6, VPCMOV"), absent("8fe97801c8", "5 BLCFILL", "APM vol. 3, BLCFILL"), absent("8fe97812c0", "5 LLWPCB", "APM vol. 3, LLWPCB")),
	unknown("fma4", namesOf(func(r *isa.Row) bool {
		return r.Map == isa.MapVEX3 && r.Operands[3].Class != 0 && (r.Feature == isa.FeatureFMA4 || r.Feature == isa.FeatureXOP)
	}), isa.MapVEX3,
		[]byte{0x48, 0x49, 0x5c, 0x5d, 0x5e, 0x5f, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f},
		func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX }, "FMA4 and VPERMIL2PS",
		absent("c4e37168c230", "6 VFMADDPS", "APM vol. 6, VFMADDPS"), absent("c4e37148c230", "6 VPERMIL2PS", "APM vol. 6, VPERMIL2PS")),
	unknown("3dnow", namesOf(func(r *isa.Row) bool { return r.Map == isa.Map0F0F }), isa.Map0F, []byte{0x0f}, nil, "3DNow!",
		absent("0f0fc19e", "4 PFADD", "AMD publication 21928, PFADD")),
	unknown("femms", []string{"FEMMS"}, isa.Map0F, []byte{0x0e}, nil, "FEMMS", absent("0f0e", "2 FEMMS", "AMD publication 21928, FEMMS")),
	unknown("amx", namesOf(isTile), isa.MapVEX2, []byte{0x49, 0x4a, 0x4b, 0x5c, 0x5e, 0x6c, 0x6d},
		nil, "AMX", absent("c4e27849c0", "5 TILERELEASE", "SDM vol. 2, TILERELEASE"), absent("c4e2635ed1", "5 TDPBSSD", "SDM vol. 2, TDPBSSD"),
		absent("62f27e484ac1", "6 TCVTROWD2PS", "Intel ISE reference, TCVTROWD2PS")),
	unknown("amx-immediate", namesOf(isTile), isa.MapVEX3, []byte{0x07, 0x77}, isEVEX, "AMX-AVX512", absent("62f37e4807c101", "7 TCVTROWD2PS", "Intel ISE reference, TCVTROWD2PS")),
	unknown("vex-map-5", namesOf(func(r *isa.Row) bool { return r.Map == isa.MapVEX5 || r.Map == isa.MapVEX7 }), 0, nil,
		func(l *oracle.Lexed) bool { return l.Escape == oracle.EscapeVEX && l.MapNumber >= 5 }, "the VEX maps 5 and 7",
		absent("c4e560fdd1", "5 TDPBF8PS", "Intel ISE reference, TDPBF8PS"), absent("c4e77bf8c001000000", "9 URDMSR", "SDM vol. 2, URDMSR")),
	{
		Engine: Name, Name: "apx-fields",
		When:    func(l *oracle.Lexed) bool { return isEVEX(l) && isAPX(l) },
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "the bits of EVEX that APX calls B4 and X4 are fixed without it, else #UD (SDM vol. 2, 2.7.1); x86asm ignores them",
		Evidence: []oracle.Evidence{accepted("62f9744858c2", "6 VADDPS", "SDM vol. 2, 2.7.1"), accepted("62f1704858c2", "6 VADDPS", "SDM vol. 2, 2.7.1")},
	},
	{
		Engine: Name, Name: "evex-kmov", Map: isa.MapVEX1, Opcodes: []byte{0x90, 0x91, 0x92, 0x93},
		When:    isEVEX,
		Decoded: oracle.DecodedValidity, Wrong: accepts,
		Reason:   "KMOV behind EVEX is APX, and #UD without it (Intel APX specification, KMOV); x86asm takes it for VEX",
		Evidence: []oracle.Evidence{accepted("62f1ff0892ec", "6 KMOVQ", "Intel APX specification, KMOV")},
	},
	unknown("hreset", []string{"HRESET"}, isa.Map0F3A, []byte{0xf0}, func(l *oracle.Lexed) bool { return l.Rep == 0xf3 && l.ModRM == 0xc0 }, "HRESET", privileged("f30f3af0c000", "6 HRESET", "SDM vol. 2, HRESET")),
	{
		Engine: Name, Name: "group15-f3", Map: isa.Map0F, Opcodes: []byte{0xae},
		When:    func(l *oracle.Lexed) bool { return l.Rep == 0xf3 && l.Mod() != 3 && (l.Reg() == 4 || l.Reg() == 6) },
		Decoded: oracle.DecodedMnemonic | oracle.DecodedOperands,
		Wrong:   renamed("XSAVE", "PTWRITE", "XSAVE64", "PTWRITE", "XSAVEOPT", "CLRSSBSY", "XSAVEOPT64", "CLRSSBSY"),
		Reason:  "F3 0F AE /4 is PTWRITE and /6 CLRSSBSY (SDM vol. 2); x86asm ignores the prefix and names XSAVE and XSAVEOPT",
		Evidence: []oracle.Evidence{
			{Bytes: "f30fae20", Mode: x86.Long64, Says: "4 XSAVE", Truth: "4 PTWRITE", Source: "SDM vol. 2, PTWRITE"},
			{Bytes: "f30fae30", Mode: x86.Long64, Says: "4 XSAVEOPT", Truth: "4 CLRSSBSY", Source: "SDM vol. 2, CLRSSBSY"},
		},
	},
}
