import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'

/**
 * Builds a module for Debian's cloud kernel, out of its kernel headers.
 *
 * @param source - folder with a Kbuild file
 * @param scratch - folder for what is built
 * @returns the module; undefined without apt, gcc or make
 */
export async function buildModule(source: string, scratch: string, name: string): Promise<Uint8Array | undefined> {
  if (['gcc', 'make'].some((program) => spawnSync(program, ['--version']).status !== 0)) return undefined
  const [configured] =
    (await debianMembers([
      { package: 'linux-headers-cloud-amd64', members: ['./usr/src/*'], dependency: 'linux-headers-' },
    ])) ?? []
  if (configured === undefined) return undefined
  const [own = ''] = globSync(join(configured, 'usr/src/linux-headers-*'))
  const common = basename(own).replace('cloud-amd64', 'common')
  const [shared = '', kbuild = ''] =
    (await debianMembers([
      { package: common, members: ['./usr/src/*'] },
      { package: 'linux-kbuild-6.1', members: ['./usr/lib/*'] },
    ])) ?? []
  const [headers, all, module] = ['headers', 'common', 'module'].map((folder) => join(scratch, folder)) as [
    string,
    string,
    string,
  ]
  cpSync(own, headers, { recursive: true, verbatimSymlinks: true })
  cpSync(source, module, { recursive: true })
  mkdirSync(all)
  for (const entry of readdirSync(join(shared, 'usr/src', common)))
    symlinkSync(join(shared, 'usr/src', common, entry), join(all, entry))
  // Debian's packages find one another by paths below /usr.
  for (const tools of ['scripts', 'tools'])
    for (const folder of [headers, all]) {
      rmSync(join(folder, tools), { force: true })
      symlinkSync(join(kbuild, 'usr/lib/linux-kbuild-6.1', tools), join(folder, tools))
    }
  writeFileSync(join(headers, 'Makefile'), `include ${all}/Makefile\n`)
  execFileSync('make', ['-C', headers, `M=${module}`, 'modules'], { stdio: 'pipe' })
  return new Uint8Array(readFileSync(join(module, `${name}.ko`)))
}
