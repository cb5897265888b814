package main

import (
	"strings"
)

// flagEffects is the flags column; each string is a Go expression.
type flagEffects struct {
	tested, modified, set, cleared, undefined []string
	rules                                     []flagRule
	result                                    bool
}

type flagRule struct {
	when   string
	flags  []string
	result bool
}

var conditions = map[string]string{
	"count==0": "CountZero", "count!=0": "CountNonZero", "count!=1": "CountNotOne", "count>=size": "CountAtLeastSize",
	"count>size": "CountAboveSize", "source==0": "SourceZero", "size16": "Size16", "always": "Always",
}

var flagSet = map[string]bool{
	"CF": true, "PF": true, "AF": true, "ZF": true, "SF": true, "TF": true, "IF": true, "DF": true, "OF": true, "IOPL": true,
	"NT": true, "RF": true, "VM": true, "AC": true, "VIF": true, "VIP": true, "ID": true,
}

// parseFlags reads words such as OF=m, CF=tm, AF=u, OF=m,u:count!=1 and
// result=u:source==0: t tested, m modified, 0 and 1 cleared and set, u
// undefined (SDM vol. 1, appendix A), with a condition after a colon.
func (r *row) parseFlags(s string) error {
	for _, w := range strings.Fields(s) {
		name, what, ok := strings.Cut(w, "=")
		if !ok || (!flagSet[name] && name != "result") {
			return r.errorf("flags column: %q, want FLAG=tm01u", w)
		}
		for _, part := range strings.Split(what, ",") {
			if err := r.flagEffect(name, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *row) flagEffect(name, part string) error {
	letters, cond, conditional := strings.Cut(part, ":")
	f := &r.flags
	if conditional {
		c := conditions[cond]
		if c == "" || letters != "u" {
			return r.errorf("flags column: %s=%s: unknown condition or not u", name, part)
		}
		if name == "result" {
			f.result = true
		}
		f.addRule(c, name)
		return nil
	}
	if name == "result" {
		return r.errorf("flags column: result needs a condition")
	}
	for _, l := range letters {
		switch l {
		case 't':
			f.tested = append(f.tested, name)
		case 'm':
			f.modified = append(f.modified, name)
		case '1':
			f.set = append(f.set, name)
		case '0':
			f.cleared = append(f.cleared, name)
		case 'u':
			f.undefined = append(f.undefined, name)
		default:
			return r.errorf("flags column: %s=%s: want t, m, 0, 1 or u", name, part)
		}
	}
	return nil
}

func (f *flagEffects) addRule(cond, name string) {
	for i := range f.rules {
		if f.rules[i].when == cond {
			f.rules[i].add(name)
			return
		}
	}
	f.rules = append(f.rules, flagRule{when: cond})
	f.rules[len(f.rules)-1].add(name)
}

func (fr *flagRule) add(name string) {
	if name == "result" {
		fr.result = true
		return
	}
	fr.flags = append(fr.flags, name)
}
