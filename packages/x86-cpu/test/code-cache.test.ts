import * as x86 from '@retrap/x86-assembler'
import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { BareCpu, PAGE_TABLE } from './support/bare-cpu.ts'
import { expectHalt, test } from './support/with-bare-cpu.ts'

const HANDLER = 0x4000

function run(build: (asm: x86.Assembler) => void, budget?: number): BareCpu {
  const pc = new BareCpu()
  pc.program(build)
  expect(pc.run(budget).reason).toBe('hlt')
  return pc
}

describe('code that is written while it runs (SDM vol. 3A, "Handling Self- and Cross-Modifying Code")', () => {
  test('the very next instruction of a straight run', () => {
    const pc = run((asm) => {
      const patch = asm.label()
      // mov al, 1 becomes mov al, 7.
      asm
        .mov(x86.byte(patch.plus(1)), 7)
        .bind(patch)
        .mov(x86.al, 1)
        .hlt()
    })
    expect(pc.register('rax')).toBe(7n)
  })

  test('an instruction further on in the same straight run, twice', () => {
    const pc = run((asm) => {
      const [patch, loop] = [asm.label(), asm.label()]
      asm.mov(x86.ecx, 2).xor(x86.edx, x86.edx).bind(loop)
      asm
        .nop()
        .nop()
        .mov(x86.byte(patch.plus(1)), x86.cl)
        .nop()
        .nop()
      asm
        .bind(patch)
        .mov(x86.al, 1)
        .shl(x86.edx, 8)
        .mov(x86.ebx, x86.eax)
        .or(x86.edx, x86.ebx)
        .dec(x86.ecx)
        .jnz(loop)
        .hlt()
    })
    expect(pc.register('rdx')).toBe(0x201n)
  })

  test('a store of REP STOS over the code that follows it', () => {
    const pc = run((asm) => {
      const target = asm.label()
      asm.lea(x86.rdi, x86.qword(target)).mov(x86.ecx, 8).mov(x86.al, 0x90).rep().stosb()
      asm.bind(target).ud2().ud2().ud2().ud2().mov(x86.ebx, 5).hlt()
    })
    expect(pc.register('rbx')).toBe(5n)
  })

  test('a locked exchange and a vector store are seen too', () => {
    const pc = run((asm) => {
      const [one, two] = [asm.label(), asm.label()]
      asm
        .mov(x86.al, 9)
        .lock()
        .xchg(x86.byte(one.plus(1)), x86.al)
        .bind(one)
        .mov(x86.al, 1)
        .mov(x86.ebx, x86.eax)
      asm
        .mov(x86.cl, 8)
        .lock()
        .xadd(x86.byte(two.plus(1)), x86.cl)
        .bind(two)
        .mov(x86.al, 1)
        .hlt()
    })
    expect(pc.register('rbx')).toBe(9n)
    expect(pc.register('rax')).toBe(9n)
  })

  test('a branch back into the middle of an instruction finds another instruction there', () => {
    // b8 01 00 00 00 = mov eax, 1, whose last bytes are add [rax], al; its second byte on: 01 00 = add [rax], eax.
    const pc = run((asm) => {
      const [middle, out] = [asm.label(), asm.label()]
      asm.xor(x86.ecx, x86.ecx).bind(middle)
      asm.db(0xeb, 0xff) // jmp to its own second byte: ff c1 = inc ecx
      asm.db(0xc1).bind(out).hlt()
    })
    expect(pc.register('rcx')).toBe(1n)
  })

  test('a device or a loader that writes the page is seen at the next branch', ({ pc }) => {
    const at = pc.program((asm) => {
      const loop = asm.here()
      asm.bind(asm.label('patch')).mov(x86.al, 1).out(0x80, x86.al).cmp(x86.al, 1).je(loop).hlt()
    })
    pc.host.ports.set(0x80, { read: () => 0n, write: () => (pc.load(at('patch') + 1, [2]), true) })
    expectHalt(pc, { rax: 2n })
  })

  test('data beside code is written without harm, and the page becomes writable again when its code is gone', () => {
    const pc = run((asm) => {
      const [loop, data] = [asm.label(), asm.label()]
      asm.mov(x86.ecx, 2000).bind(loop).inc(x86.dword(data)).dec(x86.ecx).jnz(loop).mov(x86.eax, x86.dword(data)).hlt()
      asm.align(64).bind(data).dd(0)
    })
    expect(pc.register('rax')).toBe(2000n)
  })

  test('one that crosses into a page whose own walk changes the first: alone, as it is single-stepped', ({ pc }) => {
    const CROSSING = PAGE_TABLE + 0xffe
    const ALIAS = 0x5_0000
    pc.vector(1, HANDLER)
    pc.program((asm) => asm.inc(x86.edx).iretq(), HANDLER)
    // Nothing but the walk of the second page of the alias has a bit to set: whatever else did would kill what is decoded.
    for (let page = 0; page < 0x1ff; page++) pc.write64(PAGE_TABLE + 8 * page, BigInt(page * 0x1000 + 0x67))
    pc.write64(PAGE_TABLE + 8 * (ALIAS >>> 12), BigInt(PAGE_TABLE + 0x67))
    pc.write64(PAGE_TABLE + 8 * ((ALIAS >>> 12) + 1), BigInt(PAGE_TABLE + 0x1007))
    // add eax, 5; ret
    pc.load(CROSSING, [0x83, 0xc0, 0x05, 0xc3])
    pc.program((asm) => {
      asm.xor(x86.eax, x86.eax).xor(x86.edx, x86.edx).mov(x86.esi, CROSSING).call(x86.rsi)
      asm
        .mov(x86.esi, ALIAS + 0xffe)
        .push(0x102)
        .popfq()
        .call(x86.rsi)
        .push(2)
        .popfq()
        .hlt()
    })
    expectHalt(pc, { rax: 10n })
    // CALL, ADD, RET, PUSH and POPFQ.
    expect(pc.register('rdx')).toBe(5n)
    expect(pc.read64(PAGE_TABLE + 8 * ((ALIAS >>> 12) + 1)) & 0x20n).toBe(0x20n)
  })
})

describe('an instruction that lies in two pages', () => {
  /** mov eax, imm32 with its last two bytes in the second page; then stores, and calls. */
  const AT = 0x2ffd
  function crossing(): BareCpu {
    const pc = new BareCpu()
    pc.program((asm) => asm.mov(x86.eax, 0x4433_2211).ret(), AT)
    return pc
  }
  const callTwice = (between: (asm: x86.Assembler) => void) => (asm: x86.Assembler) => {
    asm.call(AT).mov(x86.ebx, x86.eax)
    between(asm)
    asm.call(AT).hlt()
  }

  test('is executed, and again from the cache', () => {
    const pc = crossing()
    pc.program(callTwice(() => undefined))
    expectHalt(pc, { rax: 0x4433_2211n, rbx: 0x4433_2211n })
  })

  test.each([
    { page: 'first', address: AT + 1, value: 0x99, result: 0x4433_2299n },
    { page: 'second', address: AT + 4, value: 0x99, result: 0x9933_2211n },
  ])('is decoded again when its $page page is written', ({ address, value, result }) => {
    const pc = crossing()
    pc.program(callTwice((asm) => asm.mov(x86.byte(address), value)))
    expectHalt(pc, { rbx: 0x4433_2211n, rax: result })
  })

  test.each([
    {
      page: 'first',
      pte: PAGE_TABLE + 8 * 2,
      frame: 0x2_2000,
      bytes: { 0x2_2ffd: [0xb8, 0x77, 0x22] },
      result: 0x4433_2277n,
    },
    {
      page: 'second',
      pte: PAGE_TABLE + 8 * 3,
      frame: 0x2_3000,
      bytes: { 0x2_3000: [0x33, 0x77, 0xc3] },
      result: 0x7733_2211n,
    },
  ])('is decoded again when its $page page is mapped elsewhere', ({ pte, frame, bytes, result }) => {
    const pc = crossing()
    for (const [gpa, some] of Object.entries(bytes)) pc.load(Number(gpa), some)
    pc.program(
      callTwice((asm) =>
        asm
          .mov(x86.dword(pte), frame | 7)
          .mov(x86.rcx, 0x2000)
          .invlpg(x86.byte(x86.rcx))
          .mov(x86.rcx, 0x3000)
          .invlpg(x86.byte(x86.rcx)),
      ),
    )
    expectHalt(pc, { rbx: 0x4433_2211n, rax: result })
  })

  test('faults at the second page when that is absent, and goes on when it is there', () => {
    const pc = crossing()
    pc.vector(14, HANDLER)
    pc.program(
      (asm) =>
        asm
          .pop(x86.rcx)
          .mov(x86.rbx, x86.qword(x86.rsp))
          .mov(x86.dword(PAGE_TABLE + 8 * 3), 0x3007)
          .iretq(),
      HANDLER,
    )
    pc.program((asm) => asm.call(AT).hlt())
    pc.write64(PAGE_TABLE + 8 * 3, 0n)
    expect(pc.run().reason).toBe('hlt')
    expect(pc.cpu.read64(0x248)).toBe(0x3000n)
    expect(pc.register('rbx')).toBe(BigInt(AT))
    expect(pc.register('rcx')).toBe(0n)
    expect(pc.register('rax')).toBe(0x4433_2211n)
  })

  test('faults when the second page goes away after it has been executed once', () => {
    const pc = crossing()
    pc.vector(14, HANDLER)
    pc.program(
      (asm) =>
        asm
          .inc(x86.edx)
          .add(x86.rsp, 8)
          .mov(x86.dword(PAGE_TABLE + 8 * 3), 0x3007)
          .iretq(),
      HANDLER,
    )
    pc.program(
      callTwice((asm) =>
        asm
          .mov(x86.dword(PAGE_TABLE + 8 * 3), 0)
          .mov(x86.rsi, 0x3000)
          .invlpg(x86.byte(x86.rsi)),
      ),
    )
    expectHalt(pc, { rdx: 1n })
    expect(pc.register('rax')).toBe(0x4433_2211n)
  })

  test('writes the instruction that follows it in its own second page', () => {
    // inc ebx (ff c3) becomes 40 c3: RET with a REX prefix.
    const pc = new BareCpu()
    pc.program((asm) => asm.mov(x86.byte(0x3004), 0x40).inc(x86.ebx).ud2(), 0x2ffc)
    pc.program((asm) => asm.call(0x2ffc).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.read8(0x3004)).toBe(0x40)
    expect(pc.register('rbx')).toBe(0n)
  })
})

describe('mappings', () => {
  test('one frame under two linear addresses: a write through one kills the code of the other', ({ pc }) => {
    pc.program((asm) => asm.mov(x86.al, 1).ret(), 0x5000)
    pc.write64(PAGE_TABLE + 8 * 6, 0x5007n)
    pc.program((asm) => asm.call(0x5000).mov(x86.ebx, x86.eax).mov(x86.byte(0x6001), 2).call(0x5000).hlt())
    expectHalt(pc, { rbx: 1n, rax: 2n })
  })

  test('a new CR3 brings other code to the same address', ({ pc }) => {
    pc.program((asm) => asm.mov(x86.al, 1).ret(), 0x5000)
    pc.program((asm) => asm.mov(x86.al, 2).ret(), 0x2_5000)
    // A second tree that differs in one page.
    pc.write64(0x31_0000, 0x31_1007n)
    pc.write64(0x31_1000, 0x31_2007n)
    pc.write64(0x31_2000, 0x31_3007n)
    pc.write64(0x31_2008, pc.read64(0x30_2008))
    for (let i = 0; i < 512; i++) pc.write64(0x31_3000 + 8 * i, BigInt(((i === 5 ? 0x25 : i) << 12) | 7))
    pc.program((asm) =>
      asm.call(0x5000).mov(x86.ebx, x86.eax).mov(x86.rcx, 0x31_0000).mov(x86.cr3, x86.rcx).call(0x5000).hlt(),
    )
    expectHalt(pc, { rbx: 1n, rax: 2n })
  })

  test('no-execute pages fault as fetches', ({ pc }) => {
    pc.cpu.u32[0x2d0 >>> 2]! |= 0x800
    pc.host.controlChanged()
    pc.write64(PAGE_TABLE + 8 * 5, 0x8000_0000_0000_5007n)
    pc.vector(14, HANDLER)
    pc.program((asm) => asm.pop(x86.rbx).hlt(), HANDLER)
    pc.program((asm) => asm.call(0x5000).hlt())
    expectHalt(pc, { rbx: 0x11n })
    expect(pc.cpu.read64(0x248)).toBe(0x5000n)
  })

  test('code in ROM runs, and code in a device page is fetched byte by byte', ({ pc }) => {
    pc.program((asm) => asm.mov(x86.al, 1).ret(), 0x5000)
    pc.host.rom.add(5)
    const device = [0xb3, 0x2a, 0xc3]
    pc.host.devices.set(0x6, { read: (offset) => BigInt(device[offset] ?? 0), write: () => true })
    pc.program((asm) => asm.call(0x5000).mov(x86.byte(0x5001), 9).call(0x5000).call(0x6000).hlt())
    expectHalt(pc, { rax: 1n, rbx: 0x2an })
  })
})

describe('the arena', () => {
  test.each([
    ['fills up in the middle of a run, is emptied, and execution goes on', 96, 24, 0x1_0000],
    ['has no room for an instruction that crosses pages', 80, 12, 0x1_0ffd],
  ])('%s', (_, kilobytes, pages, first) => {
    const pc = new BareCpu({ codeCacheBytes: kilobytes * 1024 })
    // Each of the pages adds to EAX and EBX, and jumps to the next.
    for (let i = 0; i < pages; i++)
      pc.program(
        (asm) => {
          asm.add(x86.eax, 0x0101_0101 * (i + 1))
          for (let n = 0; n < 60; n++) asm.inc(x86.ebx)
          if (i < pages - 1) asm.jmp(first + (i + 1) * 0x1000)
          else asm.dec(x86.ecx).jnz(first).hlt()
        },
        first + i * 0x1000,
      )
    pc.program((asm) => asm.mov(x86.ecx, 5).jmp(first))
    expect(pc.run(1_000_000).reason).toBe('hlt')
    const sum = (5n * BigInt((pages * (pages + 1)) / 2) * 0x0101_0101n) % 0x1_0000_0000n
    expect([pc.register('rax'), pc.register('rbx')]).toEqual([sum, BigInt(5 * pages * 60)])
    expect(pc.engine.codeCache.flushes).toBeGreaterThan(4)
  })
})

describe('what patching leaves behind', () => {
  test('a run of random patches ends as a processor does that decodes anew each time', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ site: fc.nat(15), value: fc.nat(255) }), { minLength: 1, maxLength: 24, size: 'max' }),
        fc.constantFrom(0x2000, 0x2fd0, 0x2fe1),
        (patches, base) => {
          const pc = new BareCpu({ codeCacheBytes: 256 * 1024 })
          // Sixteen "add al, imm8", run once before the first patch and once after each.
          pc.program((asm) => {
            for (let i = 0; i < 16; i++) asm.db(0x04, i)
            asm.ret()
          }, base)
          pc.program((asm) => {
            asm.xor(x86.eax, x86.eax).call(base)
            for (const { site, value } of patches) asm.mov(x86.byte(base + 2 * site + 1), value).call(base)
            asm.hlt()
          })
          expect(pc.run().reason).toBe('hlt')
          const sites = Array.from({ length: 16 }, (_, i) => i)
          const sum = (): number => sites.reduce((a, b) => a + b, 0)
          let expected = sum()
          for (const { site, value } of patches) {
            sites[site] = value
            expected += sum()
          }
          expect(pc.register('rax')).toBe(BigInt(expected & 0xff))
        },
      ),
      { numRuns: 25 },
    )
  })
})

describe('data on a page with code', () => {
  /** Calls a routine so often, and writes a dword `distance` bytes behind its start after each call. */
  const beside = (distance: number, writes: number): BareCpu => {
    const pc = new BareCpu()
    pc.program((asm) => asm.inc(x86.ebx).ret(), 0x2000)
    pc.program((asm) => {
      asm.xor(x86.ebx, x86.ebx).mov(x86.ecx, writes)
      const loop = asm.here()
      asm
        .call(0x2000)
        .mov(x86.dword(0x2000 + distance), x86.ecx)
        .dec(x86.ecx)
        .jnz(loop)
      asm.hlt()
    })
    expectHalt(pc, { rbx: BigInt(writes) })
    return pc
  }

  test('that lies beside its bytes leaves the code alone', () => {
    expect(beside(0x40, 50).engine.codeCache.invalidations).toBe(0)
    expect(beside(0x3c, 50).engine.codeCache.invalidations).toBe(0)
  })

  test('is written at full speed again when there are many writes', () => {
    // After 256 writes, and then after 512.
    expect(beside(0x400, 1000).engine.codeCache.invalidations).toBe(2)
  })

  test('what is no instruction depends on all the bytes that say so', ({ pc }) => {
    // C6 08 is no instruction, C6 00 one; the second byte is in another 64 bytes.
    pc.program((asm) => asm.db(0xc6, 0x08, 0x55).ret(), 0x203f)
    pc.program((asm) => asm.inc(x86.ebx).mov(x86.byte(0x2040), 0).iretq(), HANDLER)
    pc.vector(6, HANDLER)
    pc.program((asm) => asm.xor(x86.ebx, x86.ebx).mov(x86.eax, 0x5000).call(0x203f).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect([pc.register('rbx'), pc.read8(0x5000)]).toEqual([1n, 0x55])
  })

  test('an instruction in two pages dies with either', ({ pc }) => {
    // mov eax, imm32, whose last two bytes are on the next page.
    pc.program((asm) => asm.db(0xb8, 1, 0, 0, 0, 0xc3), 0x2ffd)
    pc.program((asm) => {
      asm.call(0x2ffd).mov(x86.ebx, x86.eax).mov(x86.byte(0x2ffe), 2).call(0x2ffd).add(x86.ebx, x86.eax)
      asm.mov(x86.byte(0x3001), 0x10).call(0x2ffd).add(x86.ebx, x86.eax).hlt()
    })
    expectHalt(pc, { rbx: 1n + 2n + 0x1000_0002n })
  })
})
