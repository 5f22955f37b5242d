package nbd

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// A picker chooses which version of a sector survives, by index; -1 says that the
// medium keeps what it had. Sectors come in ascending order.
type picker func(sector int64, versions []version) int

// manner draws how this disk loses its cache. Disks differ, and so do their cuts: one
// destages in order, one by position, one has no capacitor at all.
func (d *Disk) manner(random *rand.Rand) (string, picker) {
	part := random.Float64()
	switch random.IntN(5) {
	case 0:
		return "all lost", func(int64, []version) int { return -1 }
	case 1:
		return fmt.Sprintf("each sector by itself, %.0f %% survive", 100*part), d.bySector(random, part, 1)
	case 2:
		return fmt.Sprintf("each 4 KiB by itself, %.0f %% survive", 100*part), d.bySector(random, part, 8)
	case 3:
		return fmt.Sprintf("each request by itself, %.0f %% survive", 100*part), d.byRequest(random, part)
	default:
		return fmt.Sprintf("in order, the first %.0f %% survive", 100*part), d.inOrder(random, part)
	}
}

// bySector lets each group of adjacent sectors survive with probability part, in one of
// its versions.
func (d *Disk) bySector(random *rand.Rand, part float64, group int64) picker {
	current, survives := int64(-1), false
	return func(sector int64, versions []version) int {
		if sector/group != current {
			current, survives = sector/group, random.Float64() < part
		}
		if !survives {
			return -1
		}
		return random.IntN(len(versions))
	}
}

// byRequest lets each write survive with probability part. One write in eight that
// survives is torn: each of its sectors got there or did not.
func (d *Disk) byRequest(random *rand.Rand, part float64) picker {
	chances := map[uint64]float64{} // chance of each sector of a write
	chance := func(number uint64) float64 {
		e, known := chances[number]
		if !known {
			switch {
			case random.Float64() >= part:
				e = 0
			case random.IntN(8) == 0:
				e = random.Float64()
			default:
				e = 1
			}
			chances[number] = e
		}
		return e
	}
	return func(sector int64, versions []version) int {
		for i := len(versions) - 1; i >= 0; i-- {
			if e := chance(versions[i].number); e == 1 || e > 0 && random.Float64() < e {
				return i
			}
		}
		return -1
	}
}

// inOrder lets the first part of the pending writes survive and loses the rest. The
// write in the middle is torn.
func (d *Disk) inOrder(random *rand.Rand, part float64) picker {
	numbers := map[uint64]bool{}
	for _, versions := range d.cache {
		for _, v := range versions {
			numbers[v.number] = true
		}
	}
	order := slices.Sorted(maps.Keys(numbers))
	edge := uint64(0) // number of the write that is torn
	if len(order) > 0 {
		edge = order[int(part*float64(len(order)))]
	}
	return func(sector int64, versions []version) int {
		last := -1
		for i, v := range versions {
			if v.number < edge || v.number == edge && random.IntN(2) == 0 {
				last = i
			}
		}
		return last
	}
}

// sortedKeys returns the sectors in ascending order, so that a seed gives the same cut.
func sortedKeys(cache map[int64][]version) []int64 {
	return slices.Sorted(maps.Keys(cache))
}
