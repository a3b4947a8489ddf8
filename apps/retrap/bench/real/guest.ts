// The guest of the bench real: an initramfs with an image's packages, and the emulators that boot it.
import { globSync, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type CpioEntry, writeCpio } from '@retrap/linux-guest/linux/cpio'
import { fetchLinux, type LinuxFiles } from '@retrap/linux-guest/linux/debian'
import { COMMAND_LINE, MAIN, NODE_FLAGS } from '../jit/peers.ts'
import { cProgram, dpkgStatus } from './generated.ts'
import type { ImageName, Program } from './programs.ts'

/** What each emulator boots. */
export interface Guest {
  readonly kernel: string
  readonly initrd: string
}

/** The emulators, and retrap once more without compiled code, and with code that earlier runs have kept. */
export type EmulatorName = 'retrap' | 'interpreter' | 'kept' | 'tcg'

const MEBIBYTES = 1024
const FILES = fileURLToPath(new URL('guest', import.meta.url))
const PACKAGES = 2000
/** Images that have a database of many packages. */
const DATABASE: ReadonlySet<ImageName> = new Set(['system', 'apt'])
/**
 * Starts QEMU with a pipe as its output; the shell becomes QEMU, so that the process id stays. What Node gives a child is a
 * socket, whose buffer is full after a few hundred writes of one byte. QEMU's serial port drops bytes then, as seen on a busy
 * host. A pipe has room for 65,536 bytes.
 */
const THROUGH_PIPE = 'exec "$@" > >(exec cat)'
const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Debian's kernel for clouds, and busybox: from the cache or fetched. */
export const fetchKernel = (): Promise<LinuxFiles> => fetchLinux('linux-image-cloud-amd64')

/**
 * Writes the guest that runs one program.
 *
 * @param image - the folder of its packages; undefined for busybox alone
 * @param program - what runs between the marks; undefined for a guest that only boots
 * @param folder - gets the initramfs
 */
export async function writeGuest(
  image: string | undefined,
  program: Program | undefined,
  folder: string,
): Promise<Guest> {
  const { kernelPath, busyboxPath } = await fetchKernel()
  const initrd = join(folder, 'initrd.img')
  const archive = writeCpio([
    ...(image === undefined ? [] : entriesOf(image)),
    ...['dev', 'proc', 'sys', 'bench'].map((path) => ({ kind: 'directory', path }) as const),
    { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'file', path: 'busybox', mode: 0o755, data: await readFile(busyboxPath) },
    { kind: 'file', path: 'init', mode: 0o755, data: encode(initScript(program)) },
    { kind: 'file', path: 'bench/program.c', data: encode(cProgram()) },
    ...globSync('*.{js,pl,py,sh}', { cwd: FILES }).map(
      (name) => ({ kind: 'file', path: `bench/${name}`, data: readFileSync(join(FILES, name)) }) as const,
    ),
    ...(program !== undefined && DATABASE.has(program.image) ? packageDatabase() : []),
  ])
  await writeFile(initrd, archive)
  return { kernel: kernelPath, initrd }
}

/** Builds a guest and calls `use` with it; what was built is removed afterwards. */
export async function withGuest<T>(
  image: string | undefined,
  program: Program | undefined,
  use: (guest: Guest) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-real-'))
  try {
    return await use(await writeGuest(image, program, folder))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function initScript(program: Program | undefined): string {
  const { name = '', command = ':', check = ':' } = program ?? {}
  const functions = Object.entries({ program: command, check })
  return `#!/busybox sh
name=${name}
${functions.map(([title, text]) => `${title}() {\n${text}\n}\n`).join('')}
${readFileSync(join(FILES, 'init.sh'), 'utf8')}`
}

/** What dpkg knows of a system with many packages. */
function packageDatabase(): readonly CpioEntry[] {
  const folder = 'var/lib/dpkg'
  const lists = Array.from({ length: PACKAGES }, (_, i): CpioEntry => {
    const paths = Array.from({ length: 1 + (i % 23) }, (_unused, k) => `/usr/share/p${i}/f${k}\n`)
    return { kind: 'file', path: `${folder}/info/p${i}.list`, data: encode(`/.\n/usr\n/usr/share\n${paths.join('')}`) }
  })
  return [
    ...['var', 'var/lib', folder, `${folder}/info`].map((path): CpioEntry => ({ kind: 'directory', path })),
    { kind: 'file', path: `${folder}/status`, data: encode(dpkgStatus(PACKAGES)) },
    { kind: 'file', path: `${folder}/available`, data: new Uint8Array() },
    ...lists,
  ]
}

/** All files of a folder of the cache, folders before what is in them. */
function entriesOf(folder: string, below = ''): readonly CpioEntry[] {
  const names = readdirSync(join(folder, below)).toSorted()
  return names.flatMap((name): readonly CpioEntry[] => {
    const path = join(below, name)
    if (path === 'manifest.json') return []
    const state = lstatSync(join(folder, path))
    const mode = state.mode & 0o777
    if (state.isDirectory()) return [{ kind: 'directory', path, mode }, ...entriesOf(folder, path)]
    if (state.isSymbolicLink()) return [{ kind: 'symlink', path, target: readlinkSync(join(folder, path)) }]
    return [{ kind: 'file', path, mode, data: readFileSync(join(folder, path)) }]
  })
}

/**
 * The program and arguments that boot a guest.
 *
 * @param options - added to retrap's
 */
export function commandOf(
  emulator: EmulatorName,
  { kernel, initrd }: Guest,
  options: readonly string[],
): readonly [string, readonly string[]] {
  if (emulator === 'tcg') {
    return [
      'bash',
      // prettier-ignore
      ['-c', THROUGH_PIPE, 'bash', 'qemu-system-x86_64', '-accel', 'tcg,thread=single', '-cpu', 'max', '-smp', '1',
        '-m', String(MEBIBYTES), '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot',
        '-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE],
    ]
  }
  return [
    process.execPath,
    // prettier-ignore
    [...NODE_FLAGS, MAIN, 'run', ...(emulator === 'interpreter' ? ['--jit', 'off'] : []), '--stats', 'json',
      '--memory', `${MEBIBYTES}M`, ...options, '--kernel', kernel, '--initrd', initrd, '--append', COMMAND_LINE],
  ]
}
