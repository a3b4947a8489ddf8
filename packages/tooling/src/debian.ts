// Files out of Debian's packages, for tests that compare with programs or on programs of Debian. Fetched once, with apt,
// into the same cache as the kernels that `retrap` boots.
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The part of apps/retrap's apt that this uses: a path, not an import, so that no package depends on the app. */
interface AptModule {
  readonly Apt: {
    isAvailable(): Promise<boolean>
    open(
      options: {
        readonly directory: string
        readonly architectures?: readonly string[]
        readonly withoutSecurity?: boolean
      },
      onProgress: () => void,
    ): Promise<{
      show(name: string): Promise<{ readonly dependsOn: readonly string[] }>
      download(names: readonly string[], onProgress: () => void): Promise<string>
    }>
  }
  readonly unpackPackage: (file: string, folder: string, members: readonly string[]) => Promise<void>
}

/** A package and the members that are wanted of it: paths as in the archive, shell patterns allowed. */
export interface DebianMembers {
  /** With `:i386`, `:arm64` or `:armhf` for another architecture than amd64. */
  readonly package: string
  readonly members: readonly string[]
  /** The members are in the package's dependency whose name begins so: kernels have a package that names the newest. */
  readonly dependency?: string
}

const cacheDirectory = (): string => {
  const cache = process.env['XDG_CACHE_HOME']
  return join(cache !== undefined && cache !== '' ? cache : join(homedir(), '.cache'), 'retrap', 'debian-12-members')
}

const exists = (path: string): Promise<boolean> => stat(path).then(Boolean, () => false)

/**
 * A folder for each entry, with its members below their paths; what is not in the cache is fetched.
 *
 * @returns in the order of `wanted`; undefined if something is missing and there is no apt
 */
export async function debianMembers(wanted: readonly DebianMembers[]): Promise<readonly string[] | undefined> {
  const root = cacheDirectory()
  const folderOf = ({ package: name, members }: DebianMembers): string =>
    join(root, `${name.replace(':', '_')}-${createHash('sha256').update(members.join()).digest('hex').slice(0, 12)}`)
  const missing: DebianMembers[] = []
  for (const entry of wanted) if (!(await exists(folderOf(entry)))) missing.push(entry)
  if (missing.length > 0) {
    const path = new URL('../../../apps/retrap/src/linux/apt.ts', import.meta.url).href
    const { Apt, unpackPackage } = (await import(path)) as AptModule
    if (!(await Apt.isAvailable())) return undefined
    await mkdir(root, { recursive: true })
    const temporary = await mkdtemp(join(root, 'fetch-'))
    const ignore = (): void => {}
    try {
      const architectures = missing.map(({ package: name }) => name.split(':')[1] ?? 'amd64')
      const apt = await Apt.open(
        {
          directory: join(temporary, 'apt'),
          architectures: [...new Set(['amd64', ...architectures])],
          withoutSecurity: true,
        },
        ignore,
      )
      const names: string[] = []
      for (const { package: name, dependency } of missing) {
        const dependsOn = dependency === undefined ? [] : (await apt.show(name)).dependsOn
        names.push(dependsOn.find((other) => other.startsWith(dependency as string)) ?? name)
      }
      const downloads = await apt.download([...new Set(names)], ignore)
      for (const [i, entry] of missing.entries()) {
        const [name, architecture] = (names[i] as string).split(':')
        const archive = (await readdir(downloads)).find(
          (file) =>
            file.startsWith(`${name}_`) &&
            (file.endsWith(`_${architecture ?? 'amd64'}.deb`) || file.endsWith('_all.deb')),
        )
        if (archive === undefined) throw new Error(`apt downloaded no ${entry.package}`)
        const folder = join(temporary, 'files')
        await unpackPackage(join(downloads, archive), folder, entry.members)
        await rename(folder, folderOf(entry))
      }
    } finally {
      await rm(temporary, { recursive: true, force: true })
    }
  }
  return wanted.map(folderOf)
}
