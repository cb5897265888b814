// Command ringfence-clib hosts C libraries, the decoders Zydis and capstone and
// the emulator Unicorn, as engines of the exec: protocol: one library a process, on standard input
// and output, so that what a library does wrong happens here and not in
// ringfence. The libraries are loaded when it starts, without cgo.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/seed-4e121ece/ringfence/oracle/external"
	"github.com/seed-4e121ece/ringfence/oracle/external/clib"
)

// hosts makes the engine of each library.
var hosts = map[string]func() (*external.Engine, error){
	clib.Zydis:    newZydis,
	clib.Capstone: newCapstone,
	clib.Unicorn:  newUnicorn,
}

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "ringfence-clib: %v\n", err)
		os.Exit(2)
	}
}

func serve(args []string) error {
	var names []string
	for i := range clib.Libraries {
		names = append(names, clib.Libraries[i].Name)
	}
	if len(args) != 1 || hosts[args[0]] == nil {
		return fmt.Errorf("want one library: %s", strings.Join(names, " or "))
	}
	e, err := hosts[args[0]]()
	if err != nil {
		return err
	}
	return external.Serve(os.Stdin, os.Stdout, e)
}

// absent tells what to do about a library that cannot be loaded.
func absent(name string, err error) error {
	l := clib.Find(name)
	return fmt.Errorf("%s cannot be loaded (%v); on Debian: apt-get install %s", name, err, l.Package)
}
