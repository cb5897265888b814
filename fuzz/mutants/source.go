package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Source is the code to be damaged: parsed and type-checked packages.
type Source struct {
	// Root is the folder of the module, Module its path.
	Root, Module string
	Fset         *token.FileSet
	Packages     []*Package

	exports map[string]string // import path → file of export data
}

// Package is one package of a Source.
type Package struct {
	Path  string
	Name  string
	Files []*File
	Types *types.Package
	Info  *types.Info
}

// File is one source file; Rel is its path below the module's folder.
type File struct {
	Rel string
	Src []byte
	AST *ast.File
}

type listed struct {
	Dir, ImportPath, Name, Export string
	GoFiles                       []string
	Error                         *struct{ Err string }
}

// goCommand runs the go command in dir and returns its standard output.
func goCommand(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var out, diag bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diag
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, diag.Bytes())
	}
	return out.Bytes(), nil
}

// Load reads the packages (paths relative to the module's folder, as
// "emulator/exec") for this machine's build tags, with their types.
func Load(root string, packages ...string) (*Source, error) {
	mod, err := goCommand(root, "list", "-m")
	if err != nil {
		return nil, err
	}
	s := &Source{Root: root, Module: strings.TrimSpace(string(mod)), Fset: token.NewFileSet(), exports: map[string]string{}}
	args := []string{"list", "-export", "-deps", "-json=Dir,ImportPath,Name,Export,GoFiles,Error"}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	out, err := goCommand(root, args...)
	if err != nil {
		return nil, err
	}
	all := map[string]listed{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all[l.ImportPath], s.exports[l.ImportPath] = l, l.Export
	}
	for _, rel := range packages {
		l, ok := all[s.Module+"/"+rel]
		if !ok {
			return nil, fmt.Errorf("package %s: not in the module %s", rel, s.Module)
		}
		p, err := s.parse(l)
		if err != nil {
			return nil, err
		}
		s.Packages = append(s.Packages, p)
	}
	return s, nil
}

func (s *Source) parse(l listed) (*Package, error) {
	p := &Package{Path: l.ImportPath, Name: l.Name}
	for _, name := range l.GoFiles {
		abs := filepath.Join(l.Dir, name)
		src, err := os.ReadFile(abs)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(s.Fset, abs, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(s.Root, abs)
		if err != nil {
			return nil, err
		}
		p.Files = append(p.Files, &File{Rel: filepath.ToSlash(rel), Src: src, AST: file})
	}
	p.Info = &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{},
		Uses:  map[*ast.Ident]types.Object{},
		Defs:  map[*ast.Ident]types.Object{},
	}
	var first error
	p.Types = s.check(p.Path, s.Fset, p.asts(), p.Info, func(err error) {
		if first == nil {
			first = err
		}
	})
	if first != nil {
		return nil, fmt.Errorf("%s does not compile: %w", p.Path, first)
	}
	return p, nil
}

func (p *Package) asts() []*ast.File {
	var files []*ast.File
	for _, f := range p.Files {
		files = append(files, f.AST)
	}
	return files
}

// check type-checks files and tells every error.
func (s *Source) check(path string, fset *token.FileSet, files []*ast.File, info *types.Info, report func(error)) *types.Package {
	lookup := func(path string) (io.ReadCloser, error) {
		name := s.exports[path]
		if name == "" {
			return nil, fmt.Errorf("no export data for %q", path)
		}
		return os.Open(name)
	}
	conf := types.Config{
		Importer:    importer.ForCompiler(fset, "gc", lookup),
		Error:       report,
		FakeImportC: true,
	}
	pkg, _ := conf.Check(path, fset, files, info) // report has the errors
	return pkg
}

// offset returns the byte offset of a position within its file.
func (s *Source) offset(pos token.Pos) int { return s.Fset.PositionFor(pos, false).Offset }
