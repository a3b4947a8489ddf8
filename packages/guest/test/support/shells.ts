/** Shells of this host for the agent. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'

const isLinux = process.platform === 'linux'

export interface Shell {
  readonly name: string
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** Debian's busybox, with nothing else, where it runs here. */
async function busybox(scratch: string): Promise<readonly Shell[]> {
  if (!isLinux || process.arch !== 'x64') return []
  const [folder] = (await debianMembers([{ package: 'busybox-static', members: ['./bin/busybox'] }])) ?? []
  if (folder === undefined) return []
  const bin = mkdtempSync(join(scratch, 'bin-'))
  const names = execFileSync(join(folder, 'bin/busybox'), ['--list'], { encoding: 'utf8' }).trim().split('\n')
  for (const name of names) symlinkSync(join(folder, 'bin/busybox'), join(bin, name))
  return [{ name: 'busybox', command: [join(bin, 'sh')], env: { ...process.env, TMPDIR: scratch, PATH: bin } }]
}

/** @param scratch - a folder for their files */
export async function shellsOf(scratch: string): Promise<readonly Shell[]> {
  const env = { ...process.env, TMPDIR: scratch }
  const shells = isLinux ? [{ name: 'sh', command: ['sh'], env }, ...(await busybox(scratch))] : []
  if (shells.length < 2)
    console.warn(`SKIPPED: the agent in ${isLinux ? 'busybox, which is not here' : 'shells: no Linux'}`)
  return shells
}
