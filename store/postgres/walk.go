package postgres

// pageRows is how many rows a walk reads at once before it yields them.
const pageRows = 256

// walk yields page by page until a page is empty, with no read open meanwhile.
func walk[T any](page func() ([]T, error), yield func(T) error) error {
	for {
		items, err := page()
		if err != nil || len(items) == 0 {
			return err
		}
		for _, item := range items {
			if err := yield(item); err != nil {
				return err
			}
		}
	}
}
