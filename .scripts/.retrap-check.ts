import { checkBoundaries } from './boundaries.ts'
import { checkChangelogs, checkChangesets } from './changesets.ts'
import { checkManifests } from './manifests.ts'
import { checkNamedMutations } from './named-mutations.ts'
import { checkReadmes } from './release/readme.ts'
import { checkExamples } from './examples.ts'
import { members } from './workspace.ts'
const all = members()
const problems = [...await checkBoundaries(all), ...await checkManifests(all), ...checkChangesets(all), ...checkChangelogs(all), ...await checkReadmes(all), ...await checkExamples(all), ...(await checkNamedMutations() ?? [])]
if (problems.length) { console.log(problems.join('\n')); process.exit(1) }
