// The emulators of the jit bench: each boots one kernel and initramfs, and prints the guest's console on stdout.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fetchMembers } from '@retrap/debian'
import type { ProgramTable } from '@retrap/tooling/programs'
import { fetchLinux } from '@retrap/linux-guest/linux/debian'
import { buildPrograms, COMPILERS, initramfsOf, type Program, type Width } from './programs.ts'

export type PeerName = 'retrap' | 'tcg' | 'v86'

/** What each emulator boots. */
export interface Guest {
  readonly width: Width
  readonly kernel: string
  readonly initrd: string
  readonly bios: string
  readonly vgaBios: string
}

/** Compilers of guests' programs that no test needs. */
export const COMPILERS_OF_GUESTS: ProgramTable = [
  { packages: ['gcc-i686-linux-gnu', 'libc6-dev-i386-cross'], programs: ['i686-linux-gnu-gcc'] },
]
const MEBIBYTES = 512
/** As the retrap command runs it: src/main.ts says so to the shell. */
export const NODE_FLAGS = ['--max-semi-space-size=1']
export const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
const V86_GUEST = fileURLToPath(new URL('v86-guest.ts', import.meta.url))
/** The kernel prints from its first line on. Mitigations are off, as they cost what no emulator needs. */
export const COMMAND_LINE = 'console=ttyS0 earlyprintk=serial,ttyS0,115200 mitigations=off panic=-1'

/** Builds the guest and calls `use` with it; what was built is removed afterwards. */
export async function withGuest<T>(
  width: Width,
  programs: readonly Program[],
  use: (guest: Guest) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'retrap-jit-'))
  try {
    const { kernel, busybox } = await (width === 64 ? fetchAmd64() : fetchI386())
    const files = await buildPrograms(programs, COMPILERS[width], await readFile(busybox), folder)
    const initrd = join(folder, 'initrd.img')
    await writeFile(initrd, initramfsOf(files))
    return await use({ width, kernel, initrd, ...(await fetchSeabios()) })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function fetchAmd64(): Promise<{ kernel: string; busybox: string }> {
  const { kernelPath, busyboxPath } = await fetchLinux('linux-image-cloud-amd64')
  return { kernel: kernelPath, busybox: busyboxPath }
}

/** The BIOS and the video BIOS that v86 starts with. */
export async function fetchSeabios(): Promise<{ bios: string; vgaBios: string }> {
  const [folder = ''] = await fetchMembers([
    { package: 'seabios', members: ['./usr/share/seabios/bios.bin', './usr/share/seabios/vgabios-stdvga.bin'] },
  ])
  const share = join(folder, 'usr/share/seabios')
  return { bios: join(share, 'bios.bin'), vgaBios: join(share, 'vgabios-stdvga.bin') }
}

/** Debian's 32-bit kernel, and a busybox for it. */
export async function fetchI386(): Promise<{ kernel: string; busybox: string }> {
  const [kernel = '', busybox = ''] = await fetchMembers([
    { package: 'linux-image-686:i386', dependency: 'linux-image-6', members: ['./boot/vmlinuz-*'] },
    { package: 'busybox-static:i386', members: ['./bin/busybox'] },
  ])
  const { globSync } = await import('node:fs')
  return { kernel: globSync(join(kernel, 'boot/vmlinuz-*'))[0] ?? '', busybox: join(busybox, 'bin/busybox') }
}

/** The program and arguments that boot a guest. */
export function commandOf(
  peer: PeerName,
  guest: Guest,
  options: readonly string[],
): readonly [string, readonly string[]] {
  const { width, kernel, initrd } = guest
  switch (peer) {
    case 'retrap':
      return [
        process.execPath,
        // prettier-ignore
        [...NODE_FLAGS, MAIN, 'run', '--jit', 'on', '--memory', `${MEBIBYTES}M`, ...options,
          '--kernel', kernel, '--initrd', initrd, '--append', COMMAND_LINE],
      ]
    case 'tcg':
      return [
        width === 64 ? 'qemu-system-x86_64' : 'qemu-system-i386',
        // prettier-ignore
        ['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', String(MEBIBYTES), '-nodefaults', '-display', 'none',
          '-serial', 'stdio', '-no-reboot', '-kernel', kernel, '-initrd', initrd, '-append', COMMAND_LINE],
      ]
    case 'v86':
      return [process.execPath, [V86_GUEST, guest.bios, guest.vgaBios, kernel, initrd, String(MEBIBYTES), COMMAND_LINE]]
  }
}
