// Paging as a guest sees it, on a bare processor. What has a name in the project's reference on paging has it here, or in
// the paging package's test/reference.test.ts.
import * as x86 from '@retrap/x86-assembler'
import { beforeEach, describe, expect, test } from 'vitest'
import { S_CR3, S_CR4, S_PDPTE } from '../src/state/state-layout.ts'
import { ACTIVITY_RUNNING, S_ACTIVITY } from '../src/state/system-state.ts'
import { BareCpu, CODE, GDT, IDT, PAGE_TABLE, STACK, TSS } from './support/bare-cpu.ts'

const HANDLER = 0x5000
/** What handlers leave in RCX. */
const FAULTED = 0xfa17n
const CR4_PGE = 1 << 7
const CR4_PAE = 1 << 5
const CR4_LA57 = 1 << 12
const CR4_PCIDE = 1 << 17
const CR4_SMAP = 1 << 21
/** Entry of a page in the table of the first 2 MiB. */
const pte = (page: number): number => PAGE_TABLE + 8 * page

/** Ends with error code in RAX, CR2 in RBX, and a mark in RCX. */
function handle(pc: BareCpu): void {
  pc.program((asm) => asm.pop(x86.rax).mov(x86.rbx, x86.cr2).mov(x86.rcx, Number(FAULTED)).hlt(), HANDLER)
}

function run(pc: BareCpu, build: (asm: x86.Assembler) => void): void {
  pc.program((asm) => {
    build(asm)
    asm.hlt()
  })
  pc.cpu.u32[S_ACTIVITY >>> 2] = ACTIVITY_RUNNING
  pc.setRegister('rcx', 0)
  pc.rip = CODE
  expect(pc.run().reason).toBe('hlt')
}

describe('in 64-bit mode', () => {
  let pc: BareCpu
  beforeEach(() => {
    pc = new BareCpu()
    handle(pc)
    pc.vector(13, HANDLER)
    pc.vector(14, HANDLER)
    pc.write64(0x2_0000, 0x2222n)
    pc.write64(0x2_1000, 0x3333n)
  })

  const outcome = (): bigint[] => (pc.register('rcx') === FAULTED ? [pc.register('rax'), pc.register('rbx')] : [])

  test('8-byte access over page end, second page absent; CR2 = page start', () => {
    pc.write64(pte(0x21), 0n)
    pc.write64(0x2_0ff8, 0x1122_3344_5566_7788n)
    run(pc, (asm) => asm.mov(x86.rax, x86.qword(0x2_0ffc)))
    expect(outcome()).toEqual([0n, 0x2_1000n])
    run(pc, (asm) => asm.mov(x86.rax, 0).mov(x86.qword(0x2_0ffc), x86.rax))
    expect(outcome()).toEqual([2n, 0x2_1000n])
    // Nothing has been stored in the first page.
    expect(pc.read64(0x2_0ff8)).toBe(0x1122_3344_5566_7788n)
  })

  test('PTE widened without INVLPG: no guest-visible #PF after rewalk', () => {
    pc.write64(pte(0x20), 0x2_0001n)
    run(pc, (asm) => {
      asm.mov(x86.rax, x86.cr0).or(x86.eax, 0x1_0000).mov(x86.cr0, x86.rax)
      // Into the TLB, read-only; then more rights, and no invalidation.
      asm
        .mov(x86.rdx, x86.qword(0x2_0000))
        .mov(x86.dword(pte(0x20)), 0x2_0003)
        .mov(x86.qword(0x2_0000), x86.rdx)
      // The same one level up: the directory entry for the first 2 MiB.
      asm
        .mov(x86.dword(0x30_2000), PAGE_TABLE | 0x25)
        .mov(x86.rax, x86.cr3)
        .mov(x86.cr3, x86.rax)
        .mov(x86.rdx, x86.qword(0x2_1000))
      asm.mov(x86.dword(0x30_2000), PAGE_TABLE | 0x27).mov(x86.qword(0x2_1000), x86.rdx)
    })
    expect(outcome()).toEqual([])
  })

  test('a page fault drops what the TLB holds of the page', () => {
    pc.write64(pte(0x20), 0x2_0001n)
    // The handler comes back with the page read again: without the invalidation it would be the old one.
    pc.program((asm) => asm.pop(x86.rax).mov(x86.rbx, x86.qword(0x2_0000)).mov(x86.rcx, Number(FAULTED)).hlt(), HANDLER)
    run(pc, (asm) => {
      asm.mov(x86.rax, x86.cr0).or(x86.eax, 0x1_0000).mov(x86.cr0, x86.rax).mov(x86.rdx, x86.qword(0x2_0000))
      asm.mov(x86.dword(pte(0x20)), 0x2_1001).mov(x86.qword(0x2_0000), x86.rdx)
    })
    expect(outcome()).toEqual([3n, 0x3333n])
  })

  test('a page fault in a logged pass drops upper entries too', () => {
    // 2 MiB at 1 GiB by a page table of their own, all of one frame.
    pc.write64(0x30_1008, 0x30_8007n)
    pc.write64(0x30_8000, 0x30_9007n)
    for (let page = 0; page < 4; page++) pc.write64(0x30_9000 + 8 * page, 0x2_0007n)
    pc.host.devices.set(0x310, { read: () => 1n, write: () => true })
    // Counts faults; in the first one, reads another page of that table.
    pc.program((asm) => {
      const done = asm.label()
      asm
        .inc(x86.rdx)
        .cmp(x86.rdx, 1)
        .jne(done)
        .mov(x86.rsi, 0x4000_2000)
        .mov(x86.rax, x86.qword(x86.rsi))
        .bind(done)
        .hlt()
    }, HANDLER)
    run(pc, (asm) => {
      asm.xor(x86.edx, x86.edx).mov(x86.rsi, 0x4000_0000).mov(x86.rax, x86.qword(x86.rsi))
      // The directory entry goes, and nothing is invalidated; then a device's byte is to be stored there.
      asm.mov(x86.qword(0x30_8000), 0).mov(x86.rsi, 0x31_0000).mov(x86.rdi, 0x4000_1000).movsb()
    })
    expect(pc.register('rdx')).toBe(2n)
  })

  test('INVLPG of a fragment inside a 1G page', () => {
    // Linear 1 GiB is guest-physical 0 as one large page; later the directory of the first GiB, where 2 MiB are 4 KiB pages.
    pc.write64(0x30_1008, 0x87n)
    run(pc, (asm) => {
      asm
        .mov(x86.rsi, 0x4002_0000)
        .mov(x86.rax, x86.qword(x86.rsi))
        .mov(x86.rbx, x86.qword(x86.rsi, { disp: 0x1000 }))
      asm.mov(x86.dword(pte(0x20)), 0x2_1007).mov(x86.dword(pte(0x21)), 0x2_0007)
      asm.mov(x86.dword(0x30_1008), 0x30_2007).mov(x86.rdx, 0x4004_5678).invlpg(x86.byte(x86.rdx))
      asm.mov(x86.rdx, x86.qword(x86.rsi)).mov(x86.rsi, x86.qword(x86.rsi, { disp: 0x1000 }))
    })
    expect(outcome()).toEqual([])
    expect(['rax', 'rbx', 'rdx', 'rsi'].map((name) => pc.register(name as 'rax'))).toEqual([
      ...[0x2222n, 0x3333n, 0x3333n, 0x2222n],
    ])
  })

  test('descriptor load at CPL 3 from user-mapped GDT with SMAP: fault with U=0', () => {
    // 2 MiB to 4 MiB: supervisor pages, but for the second of two with a GDT.
    for (let page = 0; page < 512; page++) pc.write64(0x30_8000 + 8 * page, BigInt(0x20_0003 + 0x1000 * page))
    pc.write64(0x30_8000 + 8 * 0x10a, 0x30_a007n)
    pc.write64(0x30_2008, 0x30_8007n)
    for (let i = 0; i < 5; i++) pc.write64(0x30_9000 + 8 * i, pc.read64(GDT + 8 * i))
    pc.write64(0x30_a000, pc.read64(GDT + 8 * 4))
    // A supervisor's stack for the handler.
    pc.write64(TSS + 4, 0x32_0000n)
    // The table's limit and base.
    pc.write64(0x2_2000, 0x30_9000_1fffn)
    pc.program((asm) => asm.mov(x86.eax, 0x1003).mov(x86.ds, x86.eax).mov(x86.rcx, 1).jmp(asm.here()), 0x6000)
    run(pc, (asm) => {
      asm.mov(x86.rax, x86.cr4).or(x86.eax, CR4_SMAP).mov(x86.cr4, x86.rax).stac().lgdt(x86.tbyte(0x2_2000))
      // To CPL 3, with AC set.
      asm
        .push(0x23)
        .push(STACK - 0x1000)
        .push(0x4_0002)
        .push(0x1b)
        .push(0x6000)
        .iretq()
    })
    expect(outcome()).toEqual([0x01n, 0x30_a000n])
  })
})

describe('PAE paging in 32-bit mode', () => {
  const TABLE = 0x31_0000
  const OTHER = 0x31_0020

  const paeTest = test.extend('pc', () => {
    const pc = new BareCpu({ mode: 'protected' })
    for (const [i, descriptor] of [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn].entries()) {
      pc.write64(GDT + 8 * i, descriptor)
    }
    pc.program((asm) => asm.pop(x86.eax).mov(x86.ebx, x86.cr2).mov(x86.ecx, Number(FAULTED)).hlt(), HANDLER)
    for (const vector of [13, 14]) pc.write64(IDT + 8 * vector, BigInt(HANDLER) | (8n << 16n) | (0x8e00n << 32n))
    for (const table of [TABLE, OTHER]) pc.write64(table, 0x31_1001n)
    // 4 MiB of large pages for the first GiB, and nothing else.
    pc.write64(0x31_1000, 0x87n)
    pc.write64(0x31_1008, 0x20_0087n)
    return pc
  })
  const enter = (asm: x86.Assembler): x86.Assembler =>
    asm
      .mov(x86.eax, x86.cr4)
      .or(x86.eax, CR4_PAE)
      .mov(x86.cr4, x86.eax)
      .mov(x86.eax, TABLE)
      .mov(x86.cr3, x86.eax)
      .mov(x86.eax, x86.cr0)
      .or(x86.eax, 1 << 31)
      .mov(x86.cr0, x86.eax)
  const registers = (pc: BareCpu): number[] =>
    [S_CR3, S_PDPTE, S_PDPTE + 8].map((offset) => pc.cpu.u32[offset >>> 2] as number)

  paeTest(
    'PAE: alter PDPTE in memory without CR3 write — Intel unaffected, AMD affected; MOV CR4 toggling PGE reloads',
    ({ pc }) => {
      run(pc, (asm) => {
        enter(asm)
        // The second GiB appears in memory, but not in the registers; nor does INVLPG load them.
        asm
          .mov(x86.dword(TABLE + 8), 0x31_1001)
          .invlpg(x86.byte(0x4000_0000))
          .mov(x86.eax, x86.dword(0x4000_1000))
      })
      expect([pc.register('rcx'), pc.register('rbx')]).toEqual([FAULTED, 0x4000_1000n])
      expect(registers(pc)).toEqual([TABLE, 0x31_1001, 0])
      run(pc, (asm) => {
        asm.mov(x86.eax, x86.cr4).xor(x86.eax, CR4_PGE).mov(x86.cr4, x86.eax).mov(x86.eax, x86.dword(0x4000_1000))
      })
      expect(pc.register('rcx')).toBe(0n)
      expect(registers(pc)).toEqual([TABLE, 0x31_1001, 0x31_1001])
    },
  )

  paeTest('MOV CR3 with one bad PDPTE: old CR3 and PDPTEs remain', ({ pc }) => {
    pc.write64(OTHER + 8, 0x31_1001n)
    // PCD, PWT and what is not present are no hindrance; bit 5 of a present entry is.
    pc.write64(OTHER + 16, 0x31_1021n)
    pc.write64(OTHER + 24, 0x1e6n)
    run(pc, (asm) => enter(asm).mov(x86.eax, OTHER).mov(x86.cr3, x86.eax))
    expect([pc.register('rcx'), pc.register('rax')]).toEqual([FAULTED, 0n])
    expect(registers(pc)).toEqual([TABLE, 0x31_1001, 0])
    pc.write64(OTHER + 16, 0x31_1019n)
    run(pc, (asm) => asm.mov(x86.eax, OTHER).mov(x86.cr3, x86.eax).mov(x86.eax, x86.dword(0x4000_1000)))
    expect(pc.register('rcx')).toBe(0n)
    expect(registers(pc)).toEqual([OTHER, 0x31_1001, 0x31_1001])
  })
})

describe('process-context identifiers', () => {
  const FIRST = 0x30_0000
  const SECOND = 0x31_0000
  const RANGE = 0x4000_0000
  let pc: BareCpu
  beforeEach(() => {
    pc = new BareCpu()
    handle(pc)
    pc.vector(14, HANDLER)
    // Two address spaces that share their first GiB. At 1 GiB each has a page of its own, and then a global one.
    for (const [root, pdpt, directory, table, frame] of [
      [FIRST, 0x30_1000, 0x30_8000, 0x30_9000, 0x2_0000],
      [SECOND, 0x31_1000, 0x31_2000, 0x31_3000, 0x2_1000],
    ] as const) {
      pc.write64(root, BigInt(pdpt | 7))
      pc.write64(pdpt, 0x30_2007n)
      pc.write64(pdpt + 8, BigInt(directory | 7))
      pc.write64(directory, BigInt(table | 7))
      pc.write64(table, BigInt(frame | 7))
      pc.write64(table + 8, 0x2_2107n)
      pc.write64(frame, BigInt(frame))
    }
    pc.write64(0x2_2000, 0x6006n)
    run(pc, (asm) => {
      asm
        .mov(x86.rax, x86.cr4)
        .or(x86.eax, CR4_PCIDE | CR4_PGE)
        .mov(x86.cr4, x86.rax)
        .mov(x86.rax, FIRST | 1)
        .mov(x86.cr3, x86.rax)
      asm
        .mov(x86.rsi, RANGE)
        .mov(x86.rax, x86.qword(x86.rsi))
        .mov(x86.rbx, x86.qword(x86.rsi, { disp: 0x1000 }))
    })
    expect([pc.register('rax'), pc.register('rbx'), pc.cpu.u32[S_CR3 >>> 2]]).toEqual([0x2_0000n, 0x6006n, FIRST | 1])
  })

  const KEEP = 1n << 63n
  const load = (asm: x86.Assembler, root: number, pcid: number, keep = false): x86.Assembler =>
    asm.mov(x86.rax, BigInt(root | pcid) | (keep ? KEEP : 0n)).mov(x86.cr3, x86.rax)
  /** Walks that reads of the two pages cost. */
  const walks = (build: (asm: x86.Assembler) => void): { walks: number; own: bigint; global: bigint } => {
    let before = 0
    pc.host.ports.set(0x80, { read: () => ((before = pc.host.walks), 0n), write: () => true })
    run(pc, (asm) => {
      build(asm)
      asm
        .in(x86.eax, 0x80)
        .mov(x86.rsi, RANGE)
        .mov(x86.rax, x86.qword(x86.rsi))
        .mov(x86.rbx, x86.qword(x86.rsi, { disp: 0x1000 }))
    })
    return { walks: pc.host.walks - before, own: pc.register('rax'), global: pc.register('rbx') }
  }

  test('each address space sees its own pages, and the global one without a walk', () => {
    expect(walks((asm) => load(asm, SECOND, 2))).toEqual({ walks: 1, own: 0x2_1000n, global: 0x6006n })
  })

  test('with bit 63 an address space has what it had; without, nothing but global pages', () => {
    run(pc, (asm) => load(asm, SECOND, 2))
    expect(walks((asm) => load(asm, FIRST, 1, true))).toEqual({ walks: 0, own: 0x2_0000n, global: 0x6006n })
    run(pc, (asm) => load(asm, SECOND, 2, true))
    expect(walks((asm) => load(asm, FIRST, 1))).toEqual({ walks: 1, own: 0x2_0000n, global: 0x6006n })
  })

  test('a change that is followed by an invalidation while the address space is away is seen when it is back', () => {
    for (const [type, pcid] of [
      [0, 1],
      [1, 1],
      [2, 0],
      [3, 0],
    ] as const) {
      pc.write64(0x30_9000, 0x2_0007n)
      pc.write64(0x2_3000, BigInt(pcid))
      pc.write64(0x2_3008, BigInt(RANGE))
      run(pc, (asm) => load(asm, FIRST, 1).mov(x86.rsi, RANGE).mov(x86.rax, x86.qword(x86.rsi)))
      expect(
        walks((asm) => {
          load(asm, SECOND, 2).mov(x86.dword(0x30_9000), 0x2_2007)
          asm.mov(x86.rax, type).invpcid(x86.rax, x86.xmmword(0x2_3000))
          load(asm, FIRST, 1, true)
        }).own,
      ).toBe(0x6006n)
    }
  })

  test('INVLPG drops a global page in every address space', () => {
    run(pc, (asm) =>
      load(asm, SECOND, 2)
        .mov(x86.rsi, RANGE)
        .mov(x86.rax, x86.qword(x86.rsi, { disp: 0x1000 })),
    )
    const found = walks((asm) => {
      asm
        .mov(x86.dword(0x30_9008), 0x2_0107)
        .mov(x86.rsi, RANGE + 0x1000)
        .invlpg(x86.byte(x86.rsi))
      load(asm, FIRST, 1, true)
    })
    expect(found.global).toBe(0x2_0000n)
  })

  test('walks begin where the address space was left: one table entry is read', () => {
    run(pc, (asm) => load(asm, SECOND, 2))
    // Two more pages of its table, and one after INVLPG, which drops the upper entries too.
    for (const page of [2, 3, 4]) pc.write64(0x30_9000 + 8 * page, 0x2_1007n)
    const reads: number[] = []
    pc.host.ports.set(0x80, { read: () => (reads.push(pc.host.tableReads), 0n), write: () => true })
    run(pc, (asm) => {
      load(asm, FIRST, 1, true).mov(x86.rsi, RANGE)
      for (const page of [2, 3, 4]) {
        asm.in(x86.eax, 0x80).mov(x86.rbx, x86.qword(x86.rsi, { disp: 0x1000 * page }))
        if (page === 3) asm.in(x86.eax, 0x80).invlpg(x86.byte(x86.rsi))
      }
      asm.in(x86.eax, 0x80)
    })
    const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0] = reads
    expect([second - first, third - second, fifth - fourth]).toEqual([1, 1, 4])
  })
})

describe('five-level paging', () => {
  const la57Test = test.extend('pc', () => {
    const pc = new BareCpu({ cpu: 'max,+la57' })
    handle(pc)
    for (const vector of [13, 14]) pc.vector(vector, HANDLER)
    // Entries 0 and 1 of the new top: the first 2^48 bytes, and once more.
    pc.write64(0x30_8000, 0x30_0007n)
    pc.write64(0x30_8008, 0x30_0007n)
    pc.cpu.u32[S_CR3 >>> 2] = 0x30_8000
    pc.cpu.u32[S_CR4 >>> 2]! |= CR4_LA57
    pc.host.controlChanged()
    pc.cpu.modeChanged()
    pc.cpu.flushTlb(true)
    pc.write64(0x2_0000, 0x2222n)
    return pc
  })
  const HIGH = 1n << 48n

  la57Test('addresses of 57 bits are read, written and jumped to', ({ pc }) => {
    pc.program((asm) => asm.add(x86.rbx, 1).ret(), 0x6000)
    run(pc, (asm) => {
      asm
        .mov(x86.rsi, HIGH + 0x2_0000n)
        .mov(x86.rbx, x86.qword(x86.rsi))
        .mov(x86.qword(x86.rsi, { disp: 8 }), x86.rbx)
      asm.mov(x86.rax, HIGH + 0x6000n).call(x86.rax)
    })
    expect([pc.register('rcx'), pc.register('rbx'), pc.read64(0x2_0008)]).toEqual([0n, 0x2223n, 0x2222n])
  })

  la57Test('bit 56 must be repeated above: #GP for data and for code', ({ pc }) => {
    run(pc, (asm) => asm.mov(x86.rsi, 1n << 57n).mov(x86.rbx, x86.qword(x86.rsi)))
    expect([pc.register('rcx'), pc.register('rax')]).toEqual([FAULTED, 0n])
    run(pc, (asm) => asm.mov(x86.rsi, 1n << 57n).jmp(x86.rsi))
    expect([pc.register('rcx'), pc.register('rax')]).toEqual([FAULTED, 0n])
    // And what is canonical but not mapped is a page fault.
    run(pc, (asm) => asm.mov(x86.rsi, 3n << 48n).mov(x86.rbx, x86.qword(x86.rsi)))
    expect([pc.register('rcx'), pc.register('rbx')]).toEqual([FAULTED, 3n << 48n])
  })

  test('with four levels, bit 47 must be, whatever the processor could do', () => {
    const pc = new BareCpu({ cpu: 'max,+la57' })
    handle(pc)
    pc.vector(13, HANDLER)
    run(pc, (asm) => asm.mov(x86.rsi, HIGH).mov(x86.rbx, x86.qword(x86.rsi)))
    expect(pc.register('rcx')).toBe(FAULTED)
    run(pc, (asm) => asm.mov(x86.rsi, HIGH).call(x86.rsi))
    expect(pc.register('rcx')).toBe(FAULTED)
  })
})
