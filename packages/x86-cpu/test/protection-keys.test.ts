import { al, byte, cr4, ecx, edx, eax, imm32, qword, rax, rbx, rcx } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { S_PKRU, S_XCR0 } from '../src/state/state-layout.ts'
import { BareCpu, PAGE_TABLE } from './support/bare-cpu.ts'

const PKE = 1 << 22
const PKS = 1 << 24
const IA32_PKRS = 0x6e1
const HANDLER = 0x7000
/** A page whose key is 3. */
const DATA = 0x2_0000
const KEY = 3
const AREA = 0x9000
const ACCESS_DISABLE = 1 << (2 * KEY)
const WRITE_DISABLE = 2 << (2 * KEY)

/** Runs a program with the page at DATA a user's or a supervisor's. @returns the error code of the #PF, or 'done' */
function run(user: boolean, build: (asm: Assembler) => void, cr0 = 0x8001_0033): string {
  const pc = new BareCpu()
  pc.write64(PAGE_TABLE + 8 * (DATA >>> 12), BigInt(DATA | (user ? 0x67 : 0x63)) | (BigInt(KEY) << 59n))
  pc.load(HANDLER, [0xf4])
  pc.load(DATA, [0xc3])
  pc.vector(14, HANDLER)
  pc.vector(13, 0x7010)
  pc.load(0x7010, [0xf4])
  pc.program((asm) => {
    asm.mov(rax, cr0).db(Uint8Array.from([0x0f, 0x22, 0xc0]))
    asm
      .mov(rax, cr4)
      .or(rax, imm32(PKE | PKS | (1 << 9) | (1 << 18)))
      .mov(cr4, rax)
      .mov(rbx, DATA)
    build(asm)
    asm.hlt()
  })
  pc.cpu.u32[S_XCR0 >>> 2] = 0x201
  expect(pc.run().reason).toBe('hlt')
  if (pc.rip === 0x7011) return '#GP'
  return pc.rip === HANDLER + 1 ? `#PF(${pc.read64(Number(pc.register('rsp'))).toString(16)})` : 'done'
}

const pkru = (asm: Assembler, value: number): Assembler => asm.mov(eax, value).xor(ecx, ecx).xor(edx, edx).wrpkru()
const pkrs = (asm: Assembler, value: number): Assembler => asm.mov(eax, value).mov(ecx, IA32_PKRS).xor(edx, edx).wrmsr()
const read = (asm: Assembler): Assembler => asm.mov(al, byte(rbx))
const write = (asm: Assembler): Assembler => asm.mov(byte(rbx), 0xc3)

/**
 * Each access is made under rights that allow it first, so that the TLB has it: a change of rights takes effect without a
 * flush.
 */
describe('protection keys (SDM vol. 3A, "Protection Keys")', () => {
  test.each([
    { name: 'access disabled, read', rights: ACCESS_DISABLE, access: read, result: '#PF(21)' },
    { name: 'access disabled, write', rights: ACCESS_DISABLE, access: write, result: '#PF(23)' },
    { name: 'write disabled, read', rights: WRITE_DISABLE, access: read, result: 'done' },
    { name: 'write disabled, write', rights: WRITE_DISABLE, access: write, result: '#PF(23)' },
    { name: 'rights of other keys, write', rights: ~(3 << (2 * KEY)) | 0, access: write, result: 'done' },
  ])('$name: $result', ({ rights, access, result }) => {
    for (const [user, set, other] of [
      [true, pkru, pkrs],
      [false, pkrs, pkru],
    ] as const) {
      // Key 0 stays as it is: the program's own pages have it.
      const value = (rights & ~3) >>> 0
      const outcome = run(user, (asm) => {
        read(asm)
        write(asm)
        set(asm, value)
        access(asm)
      })
      expect(outcome, user ? 'PKRU' : 'IA32_PKRS').toBe(result)
      // The other register says nothing of this page.
      const untouched = run(user, (asm) => {
        other(asm, value)
        access(asm)
      })
      expect(untouched).toBe('done')
    }
  })

  test('a supervisor with CR0.WP clear may write in spite of write-disable', () => {
    const program = (asm: Assembler): void => {
      pkru(asm, WRITE_DISABLE)
      write(asm)
    }
    expect(run(true, program, 0x8000_0033)).toBe('done')
    expect(run(true, program)).toBe('#PF(23)')
  })

  test('instruction fetches are not subject to keys', () => {
    const outcome = run(true, (asm) => {
      pkru(asm, ACCESS_DISABLE)
      asm.call(rbx)
    })
    expect(outcome).toBe('done')
  })

  test('a right that comes back takes effect at once', () => {
    const outcome = run(true, (asm) => {
      for (const rights of [0, WRITE_DISABLE, 0]) pkru(asm, rights)
      write(asm)
      pkru(asm, ACCESS_DISABLE)
      pkru(asm, 0)
      write(asm)
    })
    expect(outcome).toBe('done')
  })

  test('MOV to CR4 that switches keys on takes effect at once', () => {
    const outcome = run(true, (asm) => {
      pkru(asm, ACCESS_DISABLE)
      asm.mov(rax, cr4).and(rax, imm32(~PKE)).mov(cr4, rax)
      read(asm)
      asm.mov(rax, cr4).or(rax, imm32(PKE)).mov(cr4, rax)
      read(asm)
    })
    expect(outcome).toBe('#PF(21)')
  })

  test.each([
    { name: 'XRSTOR of PKRU', present: 0x200n, result: '#PF(21)' },
    { name: 'XRSTOR that initialises PKRU', present: 0n, result: 'done' },
  ])('$name: $result', ({ present, result }) => {
    const outcome = run(true, (asm) => {
      write(asm)
      pkru(asm, present === 0n ? ACCESS_DISABLE : 0)
      // A header in the compacted form, and PKRU behind it.
      asm
        .mov(ecx, AREA)
        .mov(rax, present)
        .mov(qword(rcx, { disp: 512 }), rax)
      asm.mov(rax, (1n << 63n) | 0x200n).mov(qword(rcx, { disp: 520 }), rax)
      asm.mov(eax, ACCESS_DISABLE).mov(qword(rcx, { disp: 576 }), rax)
      asm.mov(eax, 0x200).xor(edx, edx).xrstor64(qword(rcx))
      write(asm)
    })
    expect(outcome).toBe(result === 'done' ? 'done' : '#PF(23)')
  })

  test('reserved bits of IA32_PKRS', () => {
    expect(run(true, (asm) => asm.mov(eax, 0).mov(ecx, IA32_PKRS).mov(edx, 1).wrmsr())).toBe('#GP')
  })

  test('INIT leaves the registers alone, reset clears them', () => {
    const pc = new BareCpu()
    pc.cpu.u32[S_PKRU >>> 2] = 0x55
    pc.cpu.reset(true)
    expect(pc.cpu.u32[S_PKRU >>> 2]).toBe(0)
    pc.cpu.u32[S_PKRU >>> 2] = 0x55
    pc.cpu.init()
    pc.run(1)
    expect(pc.cpu.u32[S_PKRU >>> 2]).toBe(0x55)
  })
})
