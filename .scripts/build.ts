// node .scripts/build.ts
//
// Makes the modules of the command and of all packages that it stands on: what `npm start` and the benches run. It needs
// nothing but rolldown, so that a first start installs and waits little. `turbo run build` makes the same modules by the same
// options, and beside them what a release has: declarations, the site, the schema of machine files.
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Plugin } from 'rolldown'
import { packageOptions } from '../packages/tooling/src/rolldown.ts'
import { type Member, members } from './workspace.ts'

const all = members()
const named = (name: string): Member | undefined => all.find(({ manifest }) => manifest.name === name)

/** A private package becomes a part of the bundle. A first install has not linked it, since only development needs it. */
const privatePackages: Plugin = {
  name: 'private-packages',
  resolveId(id) {
    const [, name = '', subpath = 'index'] = /^(@[^/]+\/[^/]+)(?:\/(.+))?$/.exec(id) ?? []
    const member = named(name)
    return member?.manifest.private === true ? join(member.folder, 'src', `${subpath}.ts`) : null
  },
}

/** A package and all that it depends on. */
function withDependencies(name: string, found = new Set<Member>()): Set<Member> {
  const member = named(name)
  if (member === undefined || found.has(member)) return found
  found.add(member)
  for (const dependency of Object.keys(member.manifest.dependencies ?? {})) withDependencies(dependency, found)
  return found
}

async function bundle({ folder }: Member): Promise<void> {
  const options = await packageOptions(folder)
  await build({ ...options, plugins: [privatePackages, ...options.plugins] })
}

const app = named('retrap') as Member
await Promise.all([...withDependencies('retrap')].map(bundle))
const dist = join(app.folder, 'dist')
// Its modules were among the stale ones; half a site would be served as if it were whole.
rmSync(join(dist, 'site'), { recursive: true, force: true })
const { status } = spawnSync(process.execPath, [join(dist, 'interpreters-process.js')], { stdio: ['ignore', 2, 2] })
process.exitCode = status ?? 1
