//go:build !(linux && amd64)

package bench

import "time"

func systemFloor(string) (func(time.Duration, int64, *histogram) (float64, error), string) {
	return nil, "it is measured on Linux on x86-64 only"
}
