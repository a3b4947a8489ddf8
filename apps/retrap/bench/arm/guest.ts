// The guest of the arm bench, and the emulators that boot it.
import { globSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchMembers } from '@retrap/debian'
import { NODE_FLAGS } from '../jit/peers.ts'
import { buildPrograms, type Compiler, initramfsOf, type Program } from '../jit/programs.ts'

/** What each emulator boots. */
export interface ArmGuest {
  readonly kernel: string
  readonly initrd: string
}

const MEBIBYTES = 512
const MACHINE = fileURLToPath(new URL('machine.ts', import.meta.url))
/** Mitigations are off, as they cost what no emulator needs. */
const COMMAND_LINE = 'console=ttyAMA0 mitigations=off panic=-1'
const SYSROOT = 'usr/aarch64-linux-gnu'
const [LIBRARY, HEADERS, BUSYBOX, KERNEL] = [
  { package: 'libc6-dev-arm64-cross', members: [`./${SYSROOT}/*`] },
  { package: 'linux-libc-dev-arm64-cross', members: [`./${SYSROOT}/*`] },
  { package: 'busybox-static:arm64', members: ['./bin/busybox'] },
  { package: 'linux-image-arm64:arm64', dependency: 'linux-image-', members: ['./boot/vmlinuz-*'] },
]

/** Builds the guest and calls `use` with it; what was built is removed afterwards. */
export async function withArmGuest<T>(programs: readonly Program[], use: (guest: ArmGuest) => Promise<T>): Promise<T> {
  const [library = '', headers = '', busybox = '', kernel = ''] = await fetchMembers([
    LIBRARY,
    HEADERS,
    BUSYBOX,
    KERNEL,
  ])
  const folder = await mkdtemp(join(tmpdir(), 'retrap-arm-'))
  try {
    const initrd = join(folder, 'initrd.img')
    const program = await readFile(join(busybox, 'bin/busybox'))
    const files = await buildPrograms(programs, compilerWith(library, headers), program, folder)
    await writeFile(initrd, initramfsOf(files))
    return await use({ kernel: globSync(join(kernel, 'boot/vmlinuz-*'))[0] ?? '', initrd })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The compiler looks for a C library by absolute paths, where a host without Debian's cross packages has none. */
function compilerWith(library: string, headers: string): Compiler {
  const libraries = join(library, SYSROOT, 'lib')
  const includes = [library, headers].flatMap((folder) => ['-isystem', join(folder, SYSROOT, 'include')])
  return { program: 'aarch64-linux-gnu-gcc', flags: [...includes, `-B${libraries}/`, `-L${libraries}`] }
}

/**
 * The program and arguments that boot a guest on retrap.
 *
 * @param jit - whether hot code is compiled
 */
export const retrapCommand = ({ kernel, initrd }: ArmGuest, jit: boolean): readonly [string, readonly string[]] => [
  process.execPath,
  [...NODE_FLAGS, MACHINE, kernel, initrd, String(MEBIBYTES), COMMAND_LINE, jit ? 'on' : 'off'],
]

/**
 * The program and arguments that boot a guest on QEMU. Its processor has what retrap's has; signatures of pointers are
 * left to QEMU, whose own algorithm for them is its fastest.
 */
export const tcgCommand = ({ kernel, initrd }: ArmGuest): readonly [string, readonly string[]] => [
  'qemu-system-aarch64',
  // prettier-ignore
  ['-accel', 'tcg', '-machine', 'virt,gic-version=3', '-cpu', 'max,sve=off,sme=off,pauth-impdef=on', '-smp', '1',
    '-m', String(MEBIBYTES), '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot',
    '-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE],
]
