package bench

import "io"

func (r *Result) WriteReport(w io.Writer) error { return nil }
