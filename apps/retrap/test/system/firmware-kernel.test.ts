import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { elfImage, note, words } from '@retrap/tooling/images'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { al, Assembler, dword, dx, ebx, esi, imm16 } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'

const test = sliceTests(5)
const DEADLINE_MS = 120_000

/** Prints the command line, and what firmware has left behind; powers off. */
const AUTO = `${FIRST_PROCESS}echo "started with: $(cat /proc/cmdline)"
test -d /sys/firmware/efi && echo 'by UEFI'
cat /sys/class/dmi/id/product_name
poweroff -f
`

const KERNEL_AT = 0x10_0000

/** A kernel of 32-bit code that prints a text and ends. ESI is made to point to the text from EBX. */
function printingKernel(asm: Assembler, findText: (asm: Assembler) => void): void {
  findText(asm)
  const next = asm.label('next')
  const end = asm.label('end')
  asm.cld().mov(dx, imm16(0x3f8)).bind(next).lodsb().test(al, al).je(end).out(dx, al).jmp(next).bind(end)
  asm.mov(dx, imm16(0x501)).mov(al, 0x10).out(dx, al).hlt()
}

/** Prints the text of its first module, whose list the boot information names. */
function multibootKernel(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: KERNEL_AT })
  const entry = asm.label('entry')
  asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), KERNEL_AT, KERNEL_AT, 0, 0, entry).bind(entry)
  printingKernel(asm, () => asm.mov(esi, dword(ebx, { disp: 24 })).mov(esi, dword(esi, { disp: 8 })))
  return asm.assemble().bytes
}

/** Prints its command line. */
function pvhKernel(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: KERNEL_AT })
  printingKernel(asm, () => asm.mov(esi, dword(ebx, { disp: 24 })))
  const { bytes } = asm.assemble()
  return elfImage(32, KERNEL_AT, [
    { type: 1, physicalAddress: KERNEL_AT, bytes },
    { type: 4, bytes: note('Xen', 18, words(KERNEL_AT)) },
  ])
}

const linux = await linuxWith([], AUTO)
const [seabios = '', ovmf = '', data = ''] =
  (await debianMembers([
    { package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin', './usr/share/seabios/bios-microvm.bin'] },
    { package: 'ovmf', members: ['./usr/share/OVMF/OVMF_CODE_4M.fd', './usr/share/OVMF/OVMF_VARS_4M.fd'] },
    { package: 'qemu-system-data', members: ['./usr/share/qemu/qboot.rom'] },
  ])) ?? []
const scratch = temporaryFolder('firmware-kernel')

const bios = join(seabios, 'usr/share/seabios/bios-256k.bin')

function file(name: string, bytes: Uint8Array): string {
  const path = join(scratch, name)
  writeFileSync(path, bytes)
  return path
}

const there = linux !== undefined

describe.runIf(there)(`a kernel together with firmware${skipNote(there, 'cannot fetch it')}`, () => {
  const run = (...firmware: readonly string[]): ReturnType<typeof runRetrap> => {
    const images = ['--kernel', linux!.kernelPath, '--initrd', file('initrd', linux!.initrd)]
    const append = ['--append', `rdinit=/auto ${TO_DEVICES} panic=-1 told=by-fw_cfg`]
    return runRetrap(['run', ...images, ...append, '--no-reboot', ...firmware], { deadlineMs: DEADLINE_MS })
  }

  test('SeaBIOS starts Linux by the option ROM, before the disk', { timeout: DEADLINE_MS }, async () => {
    const disk = file('disk', new Uint8Array(1 << 20))
    const { code, stdout, stderr } = await run('--firmware', bios, disk)
    // The first run says that it fetches the option ROM.
    expect(stderr).not.toContain('error')
    expect(stdout).toContain('SeaBIOS')
    expect(stdout).toContain('Booting from ROM')
    expect(stdout).toContain('told=by-fw_cfg\r\nretrap PC')
    expect(code).toBe(0)
  })
  test('SeaBIOS starts multiboot and PVH kernels, with what belongs to them', { timeout: DEADLINE_MS }, async () => {
    const start = (kernel: Uint8Array, ...more: readonly string[]): ReturnType<typeof runRetrap> => {
      const firmware = ['--firmware', bios, '--device', 'isa-debug-exit']
      return runRetrap(['run', '--kernel', file('kernel', kernel), ...firmware, ...more], { deadlineMs: DEADLINE_MS })
    }
    const module = `${file('module', Uint8Array.of(1, 2, 3))} text of a module`
    const multiboot = await start(multibootKernel(), '--module', module)
    expect(multiboot.stdout).toContain('text of a module')
    expect(multiboot.code).toBe(33)
    const pvh = await start(pvhKernel(), '--append', 'line of a PVH kernel')
    expect(pvh.stdout).toContain('line of a PVH kernel')
    expect(pvh.code).toBe(33)
  })
  test('qboot starts Linux', { timeout: DEADLINE_MS }, async () => {
    const { code, stdout, stderr } = await run('--firmware', join(data, 'usr/share/qemu/qboot.rom'))
    expect(stderr).toBe('')
    expect(stdout).toContain('told=by-fw_cfg')
    expect(code).toBe(0)
  })
  test("microvm's firmware, a SeaBIOS, starts Linux", { timeout: DEADLINE_MS }, async () => {
    const { code, stdout } = await run('--firmware', join(seabios, 'usr/share/seabios/bios-microvm.bin'))
    expect(stdout).toContain('Booting from ROM')
    expect(stdout).toContain('told=by-fw_cfg')
    expect(code).toBe(0)
  })
  test('OVMF starts Linux on a q35', { timeout: DEADLINE_MS }, async () => {
    const vars = file('vars', readFileSync(join(ovmf, 'usr/share/OVMF/OVMF_VARS_4M.fd')))
    const code4M = join(ovmf, 'usr/share/OVMF/OVMF_CODE_4M.fd')
    const { code, stdout, stderr } = await run('--machine', 'q35', '--firmware', code4M, '--firmware-vars', vars)
    expect(stderr).toBe('')
    expect(stdout).toContain('told=by-fw_cfg\r\nby UEFI')
    expect(code).toBe(0)
  })
})
