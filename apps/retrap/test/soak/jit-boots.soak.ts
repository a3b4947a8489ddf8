// Boots Debian's kernels of both bitnesses on virtual time, with 1 and 4 CPUs, interpreted and compiled: both execute the
// same instructions, take the same interrupts and exceptions, and print the same.
import type { Soak } from '@retrap/tooling/soak'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Assembler, dword, eax, ebx, ecx, edx, esi } from '@retrap/x86-assembler'
import { writeCpio } from '../../src/guests/linux/cpio.ts'
import { kernelOf } from '../support/busy-host.ts'
import { runRetrap } from '../support/processes.ts'

const DEADLINE_MS = 900_000
const MACHINES = [
  [64, 1],
  [64, 4],
  [32, 1],
  [32, 4],
] as const
/** The statistics that do not depend on how code is executed. */
const SAME = ['interrupts', 'exceptions', 'portAccesses', 'mmioAccesses', 'apicAccesses'] as const

const LOAD_AT = 0x0804_8000
const HEADER_BYTES = 0x54

/**
 * The first process of 32 bits: computes for a while, prints what it has, and powers the machine off.
 *
 * Sources: Linux, arch/x86/entry/syscalls/syscall_32.tbl and include/uapi/linux/reboot.h; System V ABI, "Object Files".
 */
function init32(): Uint8Array {
  const asm = new Assembler({ bits: 32, address: LOAD_AT + HEADER_BYTES })
  const [again, digits, text] = [asm.label('again'), asm.label('digits'), asm.label('text')]
  asm.mov(ecx, 3_000_000).mov(eax, 1).bind(again)
  asm.imul(eax, eax, 0x19_660d).add(eax, 0x3c6e_f35f).mov(ebx, eax).shr(ebx, 7).and(ebx, 0xfff)
  asm
    .add(dword(ebx, { disp: LOAD_AT + 0x1000 }), eax)
    .xor(esi, ebx)
    .dec(ecx)
    .jne(again)
  // Sixteen letters of the last number, by their bits.
  asm
    .mov(ecx, 16)
    .bind(digits)
    .mov(edx, eax)
    .and(edx, 15)
    .add(edx, 0x61)
    .mov(dword(ecx, { disp: text }), edx)
  asm.ror(eax, 2).add(eax, esi).dec(ecx).jne(digits)
  asm.mov(eax, 4).mov(ebx, 1).mov(ecx, text).mov(edx, 17).int(0x80)
  asm.mov(eax, 88).mov(ebx, 0xfee1_dead).mov(ecx, 0x2812_1969).mov(edx, 0x4321_fedc).int(0x80).hlt()
  asm.align(4).bind(text).db('\n                   ')
  const code = asm.assemble().bytes
  const file = new Uint8Array(HEADER_BYTES + code.length)
  const view = new DataView(file.buffer)
  file.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1])
  // An executable of i386 with one segment, which is the whole file.
  const words: readonly (readonly [at: number, value: number])[] = [
    ...([
      [0x14, 1],
      [0x18, LOAD_AT + HEADER_BYTES],
      [0x1c, 0x34],
      [0x34, 1],
      [0x3c, LOAD_AT],
    ] as const),
    ...([
      [0x44, file.length],
      [0x48, 0x4000],
      [0x4c, 7],
      [0x50, 0x1000],
    ] as const),
  ]
  for (const [at, value] of words) view.setUint32(at, value, true)
  for (const [at, value] of [
    [0x10, 2],
    [0x12, 3],
    [0x28, 0x34],
    [0x2a, 0x20],
    [0x2c, 1],
  ] as const)
    view.setUint16(at, value, true)
  file.set(code, HEADER_BYTES)
  return file
}

let folder = ''

/** The kernel of 64 bits has a shell, that of 32 bits one small program. */
async function argumentsOf(bits: 32 | 64): Promise<readonly string[]> {
  if (bits === 64) return ['linux', '--command', 'uname -a; sha256sum /bin/busybox; cat /proc/interrupts; nproc']
  const append = ['--append', 'console=ttyS0']
  return ['run', '--kernel', await kernelOf(32), '--initrd', join(folder, 'initrd'), ...append, '--memory', '256M']
}

/** Boots once. @returns its output, its end, and those of its counts that are to be the same */
async function boot(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runRetrap(args, { deadlineMs: DEADLINE_MS })
  const line = stderr.split('\n').find((each) => each.startsWith('{')) ?? '{}'
  const { instructions = 0, counts = {} } = JSON.parse(line) as {
    readonly instructions?: number
    readonly counts?: Readonly<Record<string, number>>
  }
  executed += instructions
  const others = SAME.map((name) => `${name} ${counts[name]}`).join(', ')
  return `${stdout}\nexit code ${code}; instructions ${instructions}, ${others}`
}

let executed = 0

export const soak: Soak = {
  name: 'jit-boots',
  count: MACHINES.length,
  async setup() {
    for (const bits of [64, 32] as const) await kernelOf(bits)
    folder = await mkdtemp(join(tmpdir(), 'jit-boots-'))
    const entries = [
      { kind: 'directory', path: 'dev' },
      { kind: 'character-device', path: 'dev/console', major: 5, minor: 1 },
      { kind: 'file', path: 'init', mode: 0o755, data: init32() },
    ] as const
    await writeFile(join(folder, 'initrd'), writeCpio(entries))
  },
  async step(rng, index) {
    const [bits, cpus] = MACHINES[index % MACHINES.length]!
    const args = [...(await argumentsOf(bits)), '--deterministic', '--cpus', `${cpus}`, '--stats', 'json']
    rng.note('machine', args.join(' '))
    const interpreted = await boot([...args, '--jit', 'off'])
    const compiled = await boot([...args, '--jit', 'on'])
    if (!/; instructions [1-9]\d{6}/.test(interpreted))
      return `it executed next to nothing: ${interpreted.slice(-2000)}`
    if (compiled === interpreted) return
    const at = Array.from(interpreted).findIndex((character, i) => character !== compiled[i])
    return `interpreted: ${interpreted.slice(at - 200, at + 500)}\ncompiled: ${compiled.slice(at - 200, at + 500)}`
  },
  teardown: () => rm(folder, { recursive: true }),
  summary: () => `${executed} instructions, interpreted and compiled`,
}
