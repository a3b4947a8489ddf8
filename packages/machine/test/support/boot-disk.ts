// A disk that SeaBIOS boots, here and on QEMU: what its program writes to port E9H is compared.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DebugConsole, DebugExit } from '@retrap/devices'
import { debianMembers } from '@retrap/tooling/debian'
import { TEST_JIT } from '@retrap/tooling/jit'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { ah, al, Assembler, ax, ds, dx, es, imm16, si, sp, ss } from '@retrap/x86-assembler'
import { createPc, type PcOptions } from '../../src/index.ts'
import { medium } from './media.ts'

const MIB = 1 << 20
/** Where the program is loaded to, by its boot sector. */
export const PROGRAM = 0x8000
const SECTORS = 48
const seabios = await debianMembers([{ package: 'seabios', members: ['./usr/share/seabios/bios-256k.bin'] }])
const hasQemu = hasProgram('qemu-system-x86_64')

/** Whether there is what the comparison needs, and what to say where there is not. */
export const CAN_COMPARE: boolean = seabios !== undefined && hasQemu
export const SKIP_NOTE: string = skipNote(CAN_COMPARE, 'there is no SeaBIOS or no qemu-system-x86_64')

/** Shows AL. */
export const show = (asm: Assembler): Assembler => asm.out(0xe9, al)

/** Ends the machine. */
export const leave = (asm: Assembler): Assembler => asm.mov(dx, imm16(0x501)).mov(al, 0).out(dx, al).hlt()

/** An image whose boot sector loads the program and jumps to it, in real mode, with interrupts off. */
export function bootDisk(build: (asm: Assembler) => void): Uint8Array {
  const boot = new Assembler({ bits: 16, address: 0x7c00 })
  const packet = boot.label()
  boot.xor(ax, ax).mov(ds, ax).mov(es, ax).mov(ss, ax).mov(sp, 0x7000)
  // INT 13H, extended read: the BIOS leaves the drive in DL.
  boot.mov(si, packet).mov(ah, 0x42).db(0xcd, 0x13)
  boot.db(0xea).dw(PROGRAM, 0)
  boot.align(4).bind(packet).dw(16, SECTORS, PROGRAM, 0).dq(1n)
  const asm = new Assembler({ bits: 16, address: PROGRAM })
  asm.cli()
  build(asm)
  const program = asm.assemble().bytes
  if (program.length > 512 * SECTORS) throw new Error(`${program.length} bytes: expected at most ${512 * SECTORS}`)
  const image = new Uint8Array(MIB)
  image.set(boot.assemble().bytes)
  image.set([0x55, 0xaa], 510)
  image.set(program, 512)
  return image
}

/** What a disk's program shows here. */
export async function runHere(image: Uint8Array, options: Partial<PcOptions>): Promise<readonly number[]> {
  const seen: number[] = []
  const pc = await createPc({
    memoryBytes: 16 * MIB,
    codeCacheBytes: 4 * MIB,
    jit: TEST_JIT,
    vga: 'none',
    firmware: new Uint8Array(readFileSync(`${seabios?.[0] ?? ''}/usr/share/seabios/bios-256k.bin`)),
    drives: [{ medium: medium(image), interface: 'virtio' }],
    devices: [
      new DebugConsole({ iobase: 0xe9, stream: { send: (bytes) => void seen.push(...bytes) } }),
      new DebugExit({ iobase: 0x501 }),
    ],
    ...options,
  })
  const { reason } = await pc.run({ timeoutMs: 60_000 })
  pc.close()
  if (reason !== 'debug-exit') throw new Error(`the program ended with ${reason} after ${seen.length} bytes`)
  return seen
}

/** What it shows on QEMU. */
export function runOnQemu(image: Uint8Array, machine: string, more: readonly string[] = []): readonly number[] {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-boot-disk-'))
  try {
    const [disk, output] = [join(folder, 'disk'), join(folder, 'output')]
    writeFileSync(disk, image)
    writeFileSync(output, '')
    const result = spawnSync(
      'qemu-system-x86_64',
      [
        ...['-machine', machine, '-accel', 'tcg', '-cpu', 'max', '-m', '16', '-display', 'none', '-vga', 'none'],
        ...['-nodefaults', '-no-reboot', '-drive', `file=${disk},format=raw,if=virtio`],
        ...['-chardev', `file,id=e9,path=${output}`, '-device', 'isa-debugcon,iobase=0xe9,chardev=e9'],
        ...['-device', 'isa-debug-exit,iobase=0x501', ...more],
      ],
      { encoding: 'utf8', timeout: 60_000 },
    )
    if (result.status !== 1)
      throw new Error(
        `QEMU ended with ${String(result.status ?? result.signal)} after ${readFileSync(output).length} bytes: ${result.stderr}`,
      )
    return [...readFileSync(output)]
  } finally {
    rmSync(folder, { recursive: true })
  }
}
