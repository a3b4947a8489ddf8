// Programs that tests compare with. A program on PATH that runs is used with all that the host has installed for it. For any
// other program the packages that it needs are downloaded, with all that they depend on, whatever the host has installed: an
// unpacked program looks for its files beside itself. Nothing of this takes privileges or touches the host's packages.
// Without apt the tests that need a program skip, and say so.
import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, delimiter, join } from 'node:path'
import { Apt, cacheDirectory, keep, unpackPackage, withScratchFolder } from '@retrap/debian'
import { hasProgram } from './skip.ts'

/** Programs by set of packages. */
export type ProgramTable = readonly {
  readonly packages: readonly string[]
  readonly programs: readonly string[]
  /** The programs look for their files by absolute paths: they run where the packages lie over the host's `/usr`. */
  readonly overlaid?: boolean
}[]

/** Packages whose one program has the same name. */
const OF_ONE_NAME =
  'gcc gdb gdb-multiarch nasm socat redis-server nats-server lz4 dmidecode xorriso skopeo umoci buildah docker-registry passt shellcheck chromium-headless-shell firefox-esr'

export const PROGRAMS: ProgramTable = [
  ...OF_ONE_NAME.split(' ').map((name) => ({ packages: [name], programs: [name] })),
  { packages: ['binutils'], programs: ['as', 'nm', 'objcopy', 'objdump', 'readelf'] },
  { packages: ['postgresql-15'], programs: ['initdb', 'postgres'] },
  { packages: ['acpica-tools'], programs: ['iasl'] },
  { packages: ['device-tree-compiler'], programs: ['dtc'] },
  { packages: ['bind9-dnsutils'], programs: ['dig'] },
  { packages: ['mtools'], programs: ['mformat', 'mcopy', 'mmd'] },
  { packages: ['e2fsprogs'], programs: ['mke2fs', 'debugfs', 'e2fsck'] },
  { packages: ['grub-common'], programs: ['grub-mkimage'] },
  { packages: ['llvm'], programs: ['llvm-mc', 'llvm-objdump'] },
  { packages: ['llvm-22'], programs: ['llvm-mc-22', 'llvm-objdump-22'] },
  { packages: ['qemu-system-x86'], programs: ['qemu-system-x86_64'] },
  { packages: ['gvncviewer'], programs: ['gvnccapture'] },
  { packages: ['gtkwave'], programs: ['vcd2fst', 'fst2vcd'] },
  { packages: ['qemu-utils'], programs: ['qemu-img', 'qemu-io'] },
  // QEMU's Arm boards have network cards, whose ROMs the package only recommends.
  { packages: ['qemu-system-arm', 'ipxe-qemu'], programs: ['qemu-system-aarch64'] },
  { packages: ['qemu-user'], programs: ['qemu-x86_64', 'qemu-aarch64', 'qemu-arm'] },
  { packages: ['gcc-aarch64-linux-gnu'], programs: ['aarch64-linux-gnu-gcc'] },
  {
    packages: ['binutils-aarch64-linux-gnu'],
    programs: ['aarch64-linux-gnu-as', 'aarch64-linux-gnu-objdump'],
  },
  { packages: ['gcc-arm-linux-gnueabihf'], programs: ['arm-linux-gnueabihf-gcc'] },
  {
    packages: ['binutils-arm-linux-gnueabihf'],
    programs: ['arm-linux-gnueabihf-as', 'arm-linux-gnueabihf-objdump'],
  },
  { packages: ['verilator'], programs: ['verilator_bin'] },
  {
    packages: ['webkit2gtk-driver', 'xvfb', 'gir1.2-webkit2-4.1', 'python3-gi'],
    programs: ['WebKitWebDriver', 'Xvfb'],
    overlaid: true,
  },
]

/**
 * Packages that stay the host's. Apt itself needs most of them; a loader and its C library must be of one build, and a
 * compiler finds the C library's headers by absolute paths.
 */
const HOST = /^(libc6|libc-bin|libgcc-s1|libstdc\+\+6|libc6-dev|linux-libc-dev|base-files|dpkg|apt|perl-base|debconf)_/
const BIN = 'retrap-bin'

/** Folder for programs, and options of apt. */
export interface ProvideOptions {
  readonly table?: ProgramTable
  /** Programs of the table; all if absent. */
  readonly programs?: readonly string[]
  readonly root?: string
}

/** Puts programs that are missing first on PATH, fetched once for all checkouts. Prints errors. */
export async function provideDebianPrograms(options: ProvideOptions = {}): Promise<void> {
  if (process.platform !== 'linux') return
  const { table = PROGRAMS, programs: wanted, root = cacheDirectory() } = options
  const unknown = wanted?.find((name) => !table.some(({ programs }) => programs.includes(name)))
  if (unknown !== undefined) throw new Error(`no package is known for ${unknown}; expected a program of the table`)
  const rows =
    wanted === undefined ? table : table.filter(({ programs }) => programs.some((name) => wanted.includes(name)))
  const missing = rows.filter(({ programs }) => !programs.every(hasProgram))
  if (missing.length === 0) return
  const needsNoApt = await Promise.all(missing.map((row) => provide(row, root, undefined).catch(() => false)))
  const unkept = missing.filter((_row, i) => needsNoApt[i] !== true)
  if (unkept.length === 0) return
  const names = unkept.map(({ packages }) => packages[0]).join(', ')
  if (!(await Apt.isAvailable())) {
    console.error(`without apt, tests that need ${names} skip`)
    return
  }
  console.error(`fetching for the tests, once: ${names}`)
  try {
    await withScratchFolder(root, async (scratch) => {
      const apt = await Apt.open({ directory: join(scratch, 'apt'), archive: 'host' })
      for (const row of unkept) {
        // One by one, so that a package missing from this release does not block the others.
        await provide(row, root, apt).catch((error: unknown) => report(row.programs, error))
      }
    })
  } catch (error) {
    report(
      unkept.flatMap(({ programs }) => programs),
      error,
    )
  }
}

/**
 * The programs that a soak or a bench names in lines `// @programs: NAME NAME`. Modules that the file imports look for the
 * programs at once, so PATH has them before.
 *
 * @param file - its path
 */
export function programsOf(file: string): string[] {
  const lines = readFileSync(file, 'utf8').matchAll(/^(?:\/\/| \*) @programs: (.+)$/gm)
  return [...lines].flatMap(([, names = '']) => names.trim().split(/\s+/))
}

/** Returns a line for each program that tests compare with, which changes when the program does. */
export function programVersions(table: ProgramTable = PROGRAMS): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const lines = table.flatMap(({ programs }) =>
    programs.map((program) => {
      const file = folders.map((folder) => join(folder, program)).find((path) => existsSync(path))
      const { size, mtimeMs } = file === undefined ? {} : statSync(file)
      return `${program} ${file ?? 'absent'} ${size ?? ''} ${mtimeMs ?? ''}`
    }),
  )
  return lines.join('\n')
}

function report(programs: readonly string[], error: unknown): void {
  console.error(`tests that need ${programs.join(', ')} skip: ${error instanceof Error ? error.message : error}`)
}

/**
 * Puts one row's programs on PATH, from the cache or fetched.
 *
 * @throws Error if they are not in the cache and `apt` is undefined, or cannot fetch them
 */
async function provide(row: ProgramTable[number], root: string, apt: Apt | undefined) {
  const { packages, programs } = row
  const name = join('programs', release(), packages.join('+'))
  const { folder } = await keep({
    root,
    name,
    trustTimes: true,
    // An earlier table may have wanted fewer programs of these packages.
    refresh: !programs.every((program) => existsSync(join(root, name, BIN, program))),
    async make(files) {
      if (apt === undefined) throw new Error('not in the cache')
      const archives = (await apt.downloadClosure(packages)).filter((path) => !HOST.test(basename(path)))
      for (const path of archives) await unpackPackage(path, files)
      await addWrappers(files, row)
      return { archives: archives.map((path) => basename(path)) }
    },
  })
  // First, because PATH may contain a broken program of the same name.
  process.env['PATH'] = [join(folder, BIN), process.env['PATH'] ?? ''].join(delimiter)
  return true
}

/** Returns the host's release: its programs need not run on another release. */
function release(): string {
  const text = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : ''
  const field = (name: string): string => new RegExp(`^${name}="?([\\w.-]*)`, 'm').exec(text)?.[1] ?? ''
  return `${field('ID')}-${field('VERSION_ID')}`
}

/**
 * Runs a program in a mount namespace of its own, in which `/usr`, `/lib` and `/etc` are the packages' folders over the host's.
 * A user other than root needs a kernel that lets users have namespaces, as Debian's does.
 */
const OVERLAY = `[ "$(id -u)" = 0 ] || user=--map-root-user
exec unshare $user --mount sh -c '
here=$1; shift
for at in usr etc lib; do
  [ ! -d "$here/$at" ] || mount -t overlay overlay -o "lowerdir=$here/$at:/$at" "/$at" || exit 125
done
exec "$@"' overlay "$here"`

/** Writes a script for each program that runs it with its own libraries, independent of the folder's place. */
async function addWrappers(files: string, { programs, overlaid = false }: ProgramTable[number]): Promise<void> {
  await mkdir(join(files, BIN), { recursive: true })
  const libraries = new Set(globSync('{usr/,}lib/x86_64-linux-gnu/{,*/}*.so*', { cwd: files }).map(parentOf))
  for (const program of programs) {
    // Scripts in usr/bin go by absolute paths: the programs that they start are first.
    const [target] = [
      `usr/lib/chromium/${program}`,
      `usr/libexec/${program}`,
      `usr/lib/postgresql/*/bin/${program}`,
      `usr/bin/${program}`,
      `usr/sbin/${program}`,
    ].flatMap((path) => globSync(path, { cwd: files }))
    if (target === undefined) throw new Error(`the packages have no ${program}`)
    const run = overlaid
      ? `${OVERLAY} "/${target}" "$@"`
      : `LD_LIBRARY_PATH=${[...libraries].map((path) => `"$here/${path}"`).join(':')} exec "$here/${target}" "$@"`
    const text = `#!/bin/sh\nhere=$(dirname "$(dirname "$(readlink -f "$0")")")\n${run}\n`
    await writeFile(join(files, BIN, program), text, { mode: 0o755 })
  }
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))
