//go:build !(linux && amd64)

package depriv

import (
	"github.com/seed-4e121ece/ringfence/emulator/depriv/transport"
	"github.com/seed-4e121ece/ringfence/internal/spawn"
)

func startPeer(*Config) (*peer, error) { return nil, transport.ErrUnsupported }

func ending(*spawn.Process) string { return "" }
