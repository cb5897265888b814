package silicon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// available says what is missing that can be asked for beforehand; the rest is
// found when a child starts.
func available() error {
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return fmt.Errorf("silicon: /proc is needed to start from memory: %w", err)
	}
	const (
		atHWCap2 = 26
		fsgsbase = 1 << 1 // HWCAP2_FSGSBASE: user code may write FS and GS base
	)
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.LittleEndian.Uint64(auxv) == atHWCap2 {
			if binary.LittleEndian.Uint64(auxv[8:])&fsgsbase != 0 {
				return nil
			}
			break
		}
	}
	return errors.New("silicon: the kernel does not offer FSGSBASE (CPU from 2012 or 2019 on, Linux 5.9)")
}
