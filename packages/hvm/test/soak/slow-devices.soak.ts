import { defineDevice } from '@retrap/device'
import type { Rng, Soak } from '@retrap/tooling/soak'
import * as x86 from '@retrap/x86-assembler'
import { saveVcpu } from '@retrap/x86-cpu'
import { EXIT_PORT, Guest } from '../support/guest.ts'

/** RAM ends here, and the device begins: an access may lie in both. */
const DEVICE = 0x10_0000
const DEVICE_BYTES = 0x1000
const RAM_WINDOW = 0xe_0000

/** An address in RAM, in the device, or so near to where they meet that an access may cross. */
function address(rng: Rng): number {
  const near = rng.below(3)
  if (near === 0) return RAM_WINDOW + rng.below(0x800)
  return near === 1 ? DEVICE + rng.below(0x800) : DEVICE - rng.below(20)
}

const sources = [x86.eax, x86.edx, x86.esi, x86.edi] as const

/** One instruction, or a short run of them, around one that has memory operands. */
function instruction(asm: x86.Assembler, rng: Rng): string {
  const at = address(rng)
  const r = rng.pick(sources)
  const kind = rng.below(40)
  const name = (text: string): string => `${text} at ${at.toString(16)}`
  asm.mov(x86.ebx, at)
  const m = x86.dword(x86.ebx)
  switch (kind) {
    case 0:
      return (asm.mov(r, m), name('load'))
    case 1:
      return (asm.mov(m, r), name('store'))
    case 2:
      return (asm.add(m, r), name('add m, r'))
    case 3:
      return (asm.adc(r, m), name('adc r, m'))
    case 4:
      return (asm.lock().xadd(m, r), name('lock xadd'))
    case 5:
      return (asm.xchg(m, r), name('xchg'))
    case 6:
      return (asm.lock().cmpxchg(m, x86.edx), name('cmpxchg'))
    case 7:
      return (asm.cmp(m, x86.eax), name('cmp'))
    case 8:
      return (asm.not(m), name('not'))
    case 9:
      return (asm.inc(x86.word(x86.ebx)), name('inc word'))
    case 10:
      return (asm.shl(m, x86.imm8(rng.below(32))), name('shl'))
    case 11:
      return (asm.shld(m, x86.edx, x86.cl), name('shld'))
    case 12:
      return (asm.bts(m, x86.imm8(rng.below(32))), name('bts'))
    case 13:
      return (asm.movzx(x86.eax, x86.byte(x86.ebx)), name('movzx'))
    case 14:
      return (asm.movsx(x86.edx, x86.word(x86.ebx)), name('movsx'))
    case 15:
      return (asm.imul(r, m), name('imul'))
    case 16:
      return (asm.mul(m), name('mul'))
    case 17:
      return (asm.push(m), name('push m'))
    case 18:
      return (asm.push(x86.eax).pop(m), name('pop m'))
    case 19:
      return (asm.cmpxchg8b(x86.qword(x86.ebx)), name('cmpxchg8b'))
    case 20:
      return (asm.movups(x86.xmm0, x86.xmmword(x86.ebx)), name('movups load'))
    case 21:
      return (asm.movups(x86.xmmword(x86.ebx), x86.xmm0), name('movups store'))
    case 22:
      return (asm.fild(x86.qword(x86.ebx)).fistp(x86.qword(RAM_WINDOW + 0x900)), name('fild'))
    case 23:
      return (asm.fild(x86.qword(RAM_WINDOW)).fstp(x86.tbyte(x86.ebx)), name('fstp m80'))
    case 24:
      return (asm.fnstenv(x86.ptr(x86.ebx)), name('fnstenv'))
    case 25:
      return (
        asm
          .mov(x86.ebp, x86.esp)
          .lea(x86.esp, x86.dword(x86.ebx, { disp: 32 }))
          .pushad()
          .mov(x86.esp, x86.ebp),
        name('pushad')
      )
    case 26:
      return (
        asm.mov(x86.dword(0x9000), x86.esp).mov(x86.esp, x86.ebx).popad().mov(x86.esp, x86.dword(0x9000)), name('popad')
      )
    case 27:
      return (
        asm
          .mov(x86.ebp, x86.esp)
          .lea(x86.esp, x86.dword(x86.ebx, { disp: 16 }))
          .pushfd()
          .popfd()
          .mov(x86.esp, x86.ebp),
        name('pushfd, popfd')
      )
    case 28:
      return (asm.sgdt(x86.ptr(x86.ebx)), name('sgdt'))
    case 29:
      return (asm.xlatb(), name('xlat'))
    case 30:
      return (asm.in(x86.al, x86.imm8(0x80)).mov(x86.byte(x86.ebx), x86.al), name('in, store'))
    case 31:
      return (asm.mov(x86.al, x86.byte(x86.ebx)).out(x86.imm8(0x80), x86.ax), name('load, out'))
    default:
      return strings(asm, rng, at)
  }
}

/** A string instruction with a small count, in either direction. */
function strings(asm: x86.Assembler, rng: Rng, at: number): string {
  const other = address(rng)
  const count = rng.below(7)
  const down = rng.chance()
  asm.mov(x86.esi, at).mov(x86.edi, other).mov(x86.ecx, count)
  if (down) asm.std()
  const kinds = ['movsb', 'movsd', 'stosd', 'lodsw', 'cmpsb', 'scasd', 'insb', 'outsd', 'movsw alone'] as const
  const kind = rng.pick(kinds)
  if (kind === 'movsb') asm.rep().movsb()
  else if (kind === 'movsd') asm.rep().movsd()
  else if (kind === 'stosd') asm.rep().stosd()
  else if (kind === 'lodsw') asm.rep().lodsw()
  else if (kind === 'cmpsb') asm.repe().cmpsb()
  else if (kind === 'scasd') asm.repne().scasd()
  else if (kind === 'insb') asm.mov(x86.edx, 0x80).rep().insb()
  else if (kind === 'outsd') asm.mov(x86.edx, 0x80).rep().outsd()
  else asm.movsw()
  asm.cld()
  return `${kind} ×${count}${down ? ' down' : ''} from ${at.toString(16)} to ${other.toString(16)}`
}

/** Answers of a device: at once, in a microtask, or after a turn of the event loop. */
type Pace = 'synchronous' | 'microtask' | 'event loop'

/** Runs a program against a device whose every read gives something else, and writes down what it saw. */
async function outcome(build: (asm: x86.Assembler) => void, pace: Pace): Promise<unknown> {
  const seen: string[] = []
  const read = (offset: number, size: number): number => {
    seen.push(`read ${offset.toString(16)}/${size}`)
    return Math.imul(seen.length * 0x1_0001 + offset, 0x9e37_79b1) >>> 0
  }
  const write = (offset: number, size: number, value: number): void => {
    seen.push(`write ${offset.toString(16)}/${size}=${value.toString(16)}`)
  }
  const later = (): Promise<void> =>
    pace === 'microtask' ? Promise.resolve() : new Promise((resolve) => setImmediate(resolve))
  const ranges = { mmio: { base: DEVICE, size: DEVICE_BYTES }, ports: { base: 0x80, size: 4 } }
  const guest = new Guest(build, {
    devices: [
      pace === 'synchronous'
        ? defineDevice({ name: 'device', synchronous: true, ...ranges, read, write })
        : defineDevice({
            name: 'device',
            ...ranges,
            read: async (offset, size) => {
              const value = read(offset, size)
              await later()
              return value
            },
            write: async (offset, size, value) => {
              await later()
              write(offset, size, value)
            },
          }),
    ],
  })
  guest.domain.guestMemory.load(
    RAM_WINDOW,
    Uint8Array.from({ length: DEVICE - RAM_WINDOW }, (_, i) => (i * 167) ^ (i >>> 5)),
  )
  const exit = await guest.run()
  const ram = new Uint8Array(DEVICE)
  guest.domain.guestMemory.read(0, ram)
  let hash = 0
  for (const value of ram) hash = (Math.imul(hash, 31) + value) | 0
  return { exit, seen, cpu: saveVcpu(guest.boot), instructions: guest.domain.instructions, ram: hash }
}

/** Where two outcomes part, as a line. */
function difference(a: unknown, b: unknown, path = ''): string | undefined {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) {
    return Object.is(a, b) ? undefined : `${path}: ${String(a)} and ${String(b)}`
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = difference((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key], `${path}/${key}`)
    if (found !== undefined) return found
  }
  return undefined
}

/**
 * A device that takes its time leaves every register, flag and byte of memory as one that answers at once, and sees the
 * same accesses in the same order, each once: what an exact replay means.
 */
export const soak: Soak = {
  name: 'slow-devices',
  count: 200,
  async step(rng) {
    const lines: string[] = []
    const seed = rng.bytes(24)
    // Built once and replayed, since each of the runs assembles it anew.
    const draws: number[] = []
    let replay = -1
    const source: Rng = {
      ...rng,
      below: (bound) => draw(() => rng.below(bound)),
      chance: () => draw(() => (rng.chance() ? 1 : 0)) === 1,
      pick: (choices) => choices[draw(() => rng.below(choices.length))] as (typeof choices)[number],
    }
    function draw(fresh: () => number): number {
      if (replay >= 0) return draws[replay++] as number
      const value = fresh()
      draws.push(value)
      return value
    }
    const build = (asm: x86.Assembler): void => {
      lines.length = 0
      const words = new DataView(seed.buffer, seed.byteOffset)
      // After a reset no x87 exception is masked, and CR0.NE is clear: the processor would stand still.
      asm.fninit()
      for (const [i, register] of [x86.eax, x86.ecx, x86.edx, x86.esi, x86.edi, x86.ebp].entries())
        asm.mov(register, words.getUint32(4 * i, true))
      const count = 1 + source.below(8)
      for (let i = 0; i < count; i++) lines.push(instruction(asm, source))
      asm.mov(x86.al, 0).out(EXIT_PORT, x86.al).hlt()
    }
    const expected = await outcome(build, 'synchronous')
    rng.note('program', () => lines.join('; '))
    for (const pace of ['microtask', 'event loop'] as const) {
      replay = 0
      const found = difference(expected, await outcome(build, pace))
      if (found !== undefined) return `answers by ${pace}: ${found}`
    }
  },
}
