package mutants

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build writes an overlay of files, by path below the module's folder, into
// dir and builds the probe with it. It returns the program's path.
func (s *Source) Build(dir, probe string, files map[string]string) (string, error) {
	replace := map[string]string{}
	for i, rel := range sorted(files) {
		name := filepath.Join(dir, fmt.Sprintf("overlay%03d_%s", i, filepath.Base(rel)))
		if err := os.WriteFile(name, []byte(files[rel]), 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(s.Root, filepath.FromSlash(rel))] = name
	}
	overlay, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, overlay, 0o644); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "probe.exe")
	cmd := exec.Command("go", "build", "-overlay", overlayFile, "-ldflags=-s -w", "-o", program, "./"+probe)
	cmd.Dir = s.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the probe with the overlay %s: %w\n%s", overlayFile, err, out)
	}
	return program, nil
}

// BuildOwn builds the probe of a mutant that cannot be woven, in a folder of
// its own below dir.
func (s *Source) BuildOwn(dir, probe string, m *Mutant) (string, error) {
	sub, err := os.MkdirTemp(dir, "own")
	if err != nil {
		return "", err
	}
	return s.Build(sub, probe, m.own)
}
