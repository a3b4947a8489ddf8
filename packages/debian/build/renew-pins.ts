// Renews src/pins.ts from the mirror: `pnpm --filter @retrap/debian renew`. The packages are what `retrap exec`, `linux`, `run`, `web`
// and `site` ask for, and the kernels of `exec --kernel`; tests ask for others, which are looked up in the archive's signed lists.
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEBIAN } from '../src/apt.ts'
import { Archive } from '../src/archive.ts'
import { readControl } from '../src/distributed.ts'
import type { ListedPackage } from '../src/lists.ts'
import { KERNEL_PARTS, kernelPackages } from '../src/members.ts'
import { type ReleaseName, RELEASES, SHELL_RELEASE, USUAL_RELEASE } from '../src/releases.ts'

const KERNELS = ['amd64', 'cloud-amd64', 'arm64:arm64', 'cloud-arm64:arm64'].map((name) => `linux-image-${name}`)
/** The guests' shell is Debian 13's: in Debian 12, busybox's wget ends in a segmentation fault where it is given a time limit (-T). */
const SHELL = ['busybox-static', 'busybox-static:arm64', 'libc6', 'libc6:arm64']
const PACKAGES = [
  ...[...SHELL, 'base-files'],
  ...['seabios', 'ipxe-qemu', 'qemu-system-data'],
  ...['amd64', 'arm64', 'i386'].map((name) => `debian-installer-12-netboot-${name}`),
]
/** What sites give to others, with the sources. */
const GIVEN = /^(?:busybox-static|base-files|seabios|linux-image-.*-unsigned)$/

const directory = await mkdtemp(join(tmpdir(), 'retrap-pins-'))
const sources = new Map<string, ListedPackage>()

/** Opens a release. sid's lists are valid for a week only, and a mirror may be older: people review the pins. */
const openRelease = (release: ReleaseName): Promise<Archive> =>
  Archive.open({ directory, release, withoutSecurity: true, isCurrent: true, mayBeOld: true })

/** Finds a package, or a kernel with all packages that have its files. */
async function add(archive: Archive, name: string, found: ListedPackage[]): Promise<ListedPackage> {
  const one = await archive.find(name)
  found.push(one)
  if (GIVEN.test(one.name)) {
    const folder = await archive.download([name])
    const { builtFrom } = await readControl(join(folder, basename(one.files[0]!.path)))
    for (const { name: source, version } of builtFrom)
      sources.set(`${source} ${version}`, await archive.find(`${source}:source`, version))
  }
  return one
}

/** Finds the packages of a release. */
async function packagesOf(release: ReleaseName): Promise<readonly ListedPackage[]> {
  const archive = await openRelease(release)
  const found: ListedPackage[] = []
  const isUsual = release === USUAL_RELEASE
  for (const name of KERNELS.filter((one) => isUsual || !one.includes('cloud'))) {
    const one = await add(archive, name, found)
    const parts = await kernelPackages(archive, name)
    // The name stands for the packages with files: the package between the two has none, and no pin.
    found[found.indexOf(one)] = { ...one, dependsOn: parts.map((part) => part.split(':')[0]!) }
    for (const part of parts) await add(archive, part, found)
    if (name.includes('cloud')) await add(archive, parts[0]!.replace(/(?=:|$)/, '-unsigned'), found)
  }
  for (const name of isUsual ? PACKAGES : release === SHELL_RELEASE ? SHELL : []) await add(archive, name, found)
  return found
}

/** A time at which the archive has all packages of a release's lists. */
async function timeOf(release: ReleaseName): Promise<string> {
  const list = await (await fetch(`${DEBIAN}/dists/${RELEASES[release].suites[0]}/InRelease`)).text()
  const until = Date.parse(/^Valid-Until: (.*)$/m.exec(list)?.[1] ?? '')
  const time = new Date(Number.isNaN(until) ? Date.now() : Math.min(until, Date.now()))
  return `${time.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
}

const rowsOf = (packages: readonly ListedPackage[]): string[] =>
  packages.flatMap(({ name, version, architecture, dependsOn, files }) =>
    files.map(({ path, size, sha256 }) => {
      const kernel = name.startsWith('linux-image-') ? dependsOn.filter((other) => KERNEL_PARTS.test(other)) : []
      return [name, architecture, version, size, sha256, path, ...kernel].join(' ')
    }),
  )

const rows: Partial<Record<ReleaseName, string[]>> = {}
const times: Partial<Record<ReleaseName, string>> = {}
try {
  for (const release of Object.keys(RELEASES) as ReleaseName[]) {
    sources.clear()
    const found = await packagesOf(release)
    rows[release] = rowsOf([...found, ...sources.values()])
    times[release] = await timeOf(release)
    console.log(`${RELEASES[release].title}: ${rows[release].length} files of ${found.length + sources.size} packages`)
  }
} finally {
  await rm(directory, { recursive: true })
}

/** Writes the fields of an object. Names that are numbers have quotes. */
const table = <T>(values: Partial<Record<ReleaseName, T>>, write: (value: T) => string): string =>
  Object.entries(values)
    .map(([name, value]) => `  ${/^\d/.test(name) ? `'${name}'` : name}: ${write(value as T)},\n`)
    .join('')

writeFileSync(
  fileURLToPath(new URL('../src/pins.ts', import.meta.url)),
  `// Generated by build/renew-pins.ts from the lists of Debian's archive. Do not edit.
import type { ListedPackage } from './lists.ts'
import type { ReleaseName } from './releases.ts'

/** A time at which the archive had all versions of a release: the archive of old versions is asked for it. */
export const SNAPSHOT_TIMES: Readonly<Record<ReleaseName, string>> = {
${table(times, (time) => `'${time}'`)}}

/** Name, architecture, version, bytes, SHA-256 and path of each file, and the packages that a kernel's name stands for. */
const ROWS: Readonly<Record<ReleaseName, string>> = {
${table(rows, (lines) => `\`\n${lines.join('\n')}\n\``)}}

/** The packages that all hosts get in these versions. */
export function PINNED(release: ReleaseName): readonly ListedPackage[] {
  const packages = new Map<
    string,
    ListedPackage & { readonly files: { path: string; size: number; sha256: string }[] }
  >()
  for (const row of ROWS[release].trim().split('\\n')) {
    const [name = '', architecture = '', version = '', size = '', sha256 = '', path = '', ...dependsOn] = row.split(' ')
    const key = \`\${name} \${architecture} \${version}\`
    const one = packages.get(key) ?? { name, architecture, version, dependsOn, files: [] }
    one.files.push({ path, size: Number(size), sha256 })
    packages.set(key, one)
  }
  return [...packages.values()]
}
`,
)
