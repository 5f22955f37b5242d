package storetest

import "testing"

func testFolders(t *testing.T, open Open) {
	t.Run("model", func(t *testing.T) { testFolderModel(t, open) })
}
