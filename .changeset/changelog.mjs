// How `changeset version` writes CHANGELOGs: the notes as they are. A line for each dependency that has the new version as well
// would say nothing: all packages of a release have one version.

/** Returns a note as an item of a list. */
function getReleaseLine({ summary }) {
  const [first, ...others] = summary.trim().split('\n')
  return Promise.resolve([`- ${first}`, ...others.map((line) => (line === '' ? '' : `  ${line}`))].join('\n'))
}

/** Leaves out dependencies that were released as well. */
function getDependencyReleaseLine() {
  return Promise.resolve('')
}

export default { getReleaseLine, getDependencyReleaseLine }
