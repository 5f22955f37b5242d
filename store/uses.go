package store

// A copy may name its folder by what it is for, because who makes it can't know what the
// folder is called: FolderFor says how. The engine then takes the folder with that use, or
// the one with the usual name that has no use yet, or makes it.

// mark begins the name of a folder that is named by its use; it begins no path.
const mark = `\`

// FolderFor returns how Copy.Folder names the folder with a use.
func FolderFor(u Use) string { return mark + string(u) }

// UseNamed takes apart what FolderFor returned: the use, and the name with which its folder
// is made. ok is false for a plain name.
func UseNamed(folder string) (u Use, name string, ok bool) {
	for _, f := range Standard() {
		if folder == FolderFor(f.Use) {
			return f.Use, f.Name, true
		}
	}
	return UseNone, "", false
}

// Standard returns names and uses of the folders that every mailbox has besides its inbox,
// as people in German offices know them.
func Standard() []Folder {
	return []Folder{
		{Use: UseDrafts, Name: "Entwürfe"},
		{Use: UseSent, Name: "Gesendet"},
		{Use: UseArchive, Name: "Archiv"},
		{Use: UseJunk, Name: "Spam"},
		{Use: UseTrash, Name: "Papierkorb"},
	}
}
