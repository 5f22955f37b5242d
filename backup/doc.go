// Package backup copies all that a node needs into one folder, checks such a folder, and
// makes a node of it again.
//
// It takes a node's folders, which may be in use, and its database. It promises that a
// folder with a manifest is a whole backup of one moment: everything that was acknowledged
// before is in it, and the ledger and the balance that are drawn from it fit together. A
// run that is cut off leaves the folder as the backup that it was, or as none. It never
// writes into a folder that holds anything else, never writes over what a manifest names,
// never restores over anything, and never writes a key in clear unless it is told to.
//
// # The folder
//
//	manifest.json        what there is, with lengths and SHA-256; written last
//	state-TIME/          what belongs to this moment alone: the database, both
//	                     configurations, knots, keys
//	segments/, tally/, landing/, knots/
//	                     what only grows. A file may be longer than the manifest says; what
//	                     follows belongs to no backup
//
// A second backup into the same folder brings what is new. A file to which nothing is added
// any more is a hard link where both folders are on one file system.
package backup
