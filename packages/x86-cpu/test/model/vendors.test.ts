import { ax, cr3, cr4, dword, eax, fs, rax, rbx } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { cpuModel } from '../../src/model/models.ts'
import { Processor } from '../../src/model/processor.ts'
import * as S from '../../src/state/state-layout.ts'
import { setSegment } from '../../src/system/segments/segment-cache.ts'
import { BareCpu } from '../support/bare-cpu.ts'
import { Bench } from '../system/bench.ts'

const INTEL = 'core2'
const AMD = 'opteron'

function on(cpu: string, b: Bench): Bench {
  b.cpu.processor = new Processor(cpuModel(cpu))
  return b
}

/** 32-bit code in IA-32e mode. */
function compatibility(cpl: number): Bench {
  const b = Bench.long64(cpl)
  setSegment(b.s, S.CS, cpl === 0 ? 8 : 0x1b, 0, 0, 0xffff_ffff, 0xc09b | (cpl << 5))
  b.cpu.modeChanged()
  return b
}

describe('SYSCALL and SYSRET (SDM vol. 2B; AMD APM vol. 3)', () => {
  const prepare = (cpu: string, bench: Bench): Bench => {
    const b = on(cpu, bench)
    b.s.set(S.S_EFER, b.s.get(S.S_EFER) | 1)
    b.s.set64(S.S_STAR, 0x8888_0000, 0x0023_0010)
    b.s.set64(S.S_LSTAR, 0x1000, 0xffff_ffff)
    b.s.set64(S.S_CSTAR, 0x2000, 0xffff_ffff)
    b.s.set64(S.S_SFMASK, 0x4_7700, 0)
    return b
  }

  test.each([
    { where: 'legacy mode', make: () => Bench.protected32(3), intel: '#UD', amd: 'ok' },
    { where: 'compatibility mode', make: () => compatibility(3), intel: '#UD', amd: 'ok' },
    { where: '64-bit mode', make: () => Bench.long64(3), intel: 'ok', amd: 'ok' },
    { where: 'real mode', make: () => Bench.real(), intel: '#UD', amd: 'ok' },
  ])('SYSCALL in $where: $intel, on AMD $amd', ({ make, intel, amd }) => {
    expect(prepare(INTEL, make()).outcome('SYSCALL')).toBe(intel)
    expect(prepare(AMD, make()).outcome('SYSCALL')).toBe(amd)
    const off = prepare(AMD, make())
    off.s.set(S.S_EFER, off.s.get(S.S_EFER) & ~1)
    expect(off.outcome('SYSCALL')).toBe('#UD')
  })

  test('SYSCALL of legacy mode goes to STAR, and leaves R11 alone', () => {
    const b = prepare(AMD, Bench.protected32(3))
    b.flags = 0x3_0ad7
    b.s.set64(S.S_GPR + 88, 0x5555, 0x6666)
    expect(b.outcome('SYSCALL')).toBe('ok')
    expect([b.rip, b.s.gpr(1), b.s.get(S.S_GPR + 88)]).toEqual([0x8888_0000, 0x4002, 0x5555])
    expect([b.selector(S.CS), b.selector(S.SS), b.s.cpl, b.flags, b.s.mode64]).toEqual([0x10, 0x18, 0, 0x8d7, false])
  })

  test('SYSCALL of compatibility mode goes to CSTAR, in 64-bit mode', () => {
    const b = prepare(AMD, compatibility(3))
    b.flags = 0x4_0ad7
    expect(b.outcome('SYSCALL')).toBe('ok')
    expect([b.rip, b.s.get(0x84), b.s.mode64, b.s.gpr(11)]).toEqual([0x2000, 0xffff_ffff, true, 0x4_0ad7])
  })

  test.each([
    { where: 'legacy mode', make: () => Bench.protected32(0), intel: '#UD', amd: 'ok' },
    { where: 'legacy mode at CPL 3', make: () => Bench.protected32(3), intel: '#UD', amd: '#GP(0)' },
    { where: 'compatibility mode', make: () => compatibility(0), intel: '#UD', amd: 'ok' },
    { where: 'real mode', make: () => Bench.real(), intel: '#UD', amd: '#GP(0)' },
    { where: 'virtual-8086 mode', make: () => Bench.v86(3), intel: '#UD', amd: '#GP(0)' },
  ])('SYSRET in $where: $intel, on AMD $amd', ({ make, intel, amd }) => {
    expect(prepare(INTEL, make()).outcome('SYSRET')).toBe(intel)
    expect(prepare(AMD, make()).outcome('SYSRET')).toBe(amd)
  })

  test('SYSRET of legacy mode sets IF and takes no flags from R11', () => {
    const b = prepare(AMD, Bench.protected32(0))
    b.flags = 0x42
    b.s.setGpr(1, 4, 0x1234)
    b.s.set64(S.S_GPR + 88, 0x8d7, 0)
    expect(b.outcome('SYSRET')).toBe('ok')
    expect([b.rip, b.selector(S.CS), b.s.cpl, b.flags]).toEqual([0x1234, 0x23, 3, 0x242])
  })

  test('SYSRET to an address that is not canonical: #GP on Intel, on AMD the fetch at CPL 3 faults', () => {
    for (const [cpu, outcome] of [
      [INTEL, '#GP(0)'],
      [AMD, 'ok'],
    ] as const) {
      const b = prepare(cpu, Bench.long64(0))
      b.s.set64(S.S_GPR + 8, 0, 0x8000)
      expect(b.outcome('SYSRETQ', { size: 8 })).toBe(outcome)
      expect(b.s.cpl).toBe(cpu === AMD ? 3 : 0)
    }
  })

  test('SYSRET leaves limit and attributes of SS alone on AMD', () => {
    for (const cpu of [INTEL, AMD]) {
      const b = prepare(cpu, Bench.long64(0))
      setSegment(b.s, S.SS, 0x10, 0x5000, 0, 0xfff, 0x4093)
      b.s.set64(S.S_GPR + 8, 0x1000, 0)
      expect(b.outcome('SYSRETQ', { size: 8 })).toBe('ok')
      const fields = [S.SEG_BASE, S.SEG_LIMIT, S.SEG_ATTRIBUTES].map((field) => b.s.segmentField(S.SS, field))
      expect(fields).toEqual(cpu === AMD ? [0x5000, 0xfff, 0x40f3] : [0, 0xffff_ffff, 0xc0f3])
      expect([b.selector(S.SS), b.s.cpl]).toEqual([0x2b, 3])
    }
  })
})

describe('SYSENTER and SYSEXIT (AMD APM vol. 3: "in long mode … an invalid-opcode exception")', () => {
  test.each([
    { where: 'legacy mode', make: () => Bench.protected32(0), amd: 'ok' },
    { where: 'compatibility mode', make: () => compatibility(0), amd: '#UD' },
    { where: '64-bit mode', make: () => Bench.long64(0), amd: '#UD' },
  ])('$where: on Intel ok, on AMD $amd', ({ make, amd }) => {
    for (const mnemonic of ['SYSENTER', 'SYSEXIT']) {
      for (const cpu of [INTEL, AMD]) {
        const b = on(cpu, make())
        b.s.set(S.S_SYSENTER_CS, 8)
        expect(b.outcome(mnemonic, { size: 4 }), `${mnemonic} on ${cpu}`).toBe(cpu === AMD ? amd : 'ok')
      }
    }
  })
})

describe('null selectors (AMD APM vol. 2, "FS and GS Registers in 64-Bit Mode"; CPUID 8000_0021H, EAX bit 6)', () => {
  test.each([
    { cpu: 'core2', base: 0n },
    { cpu: 'opteron', base: 0x1234_5678_9abcn },
    { cpu: 'max,vendor=amd', base: 0n },
    { cpu: 'max,vendor=amd,-null_base', base: 0x1234_5678_9abcn },
  ])('MOV FS, 0 on $cpu leaves base $base', ({ cpu, base }) => {
    const pc = new BareCpu({ cpu })
    pc.cpu.u64[(0x100 + S.FS * 32 + S.SEG_BASE) >>> 3] = 0x1234_5678_9abcn
    pc.program((asm) => asm.xor(eax, eax).mov(fs, ax).hlt())
    expect(pc.run().reason).toBe('hlt')
    expect(pc.cpu.u64[(0x100 + S.FS * 32 + S.SEG_BASE) >>> 3]).toBe(base)
  })
})

describe('an operand-size prefix in 64-bit mode (SDM vol. 2A, "JMP"; AMD APM vol. 3, "Operand-Size Override Prefix")', () => {
  /** 66 before a near branch to `after`, which lies 100H bytes on. */
  test.each([
    { name: 'JMP rel', bytes: [0x66, 0xe9] },
    { name: 'JE rel', bytes: [0x66, 0x0f, 0x84] },
    { name: 'CALL rel', bytes: [0x66, 0xe8] },
  ])('$name: 16 bits of displacement and of target on AMD, 32 bits of displacement on Intel', ({ bytes }) => {
    for (const cpu of [INTEL, AMD]) {
      const pc = new BareCpu({ cpu })
      const code = 0x1_2000
      const displacement = cpu === AMD ? [0x00, 0x01] : [0x00, 0x01, 0, 0]
      const length = bytes.length + displacement.length
      pc.program((asm) => asm.xor(eax, eax).db(Uint8Array.from([...bytes, ...displacement])), code)
      pc.rip = code
      const target = code + 2 + length + 0x100
      pc.load(target, [0xf4])
      pc.load(target & 0xffff, [0xf4])
      const before = pc.register('rsp')
      expect(pc.run().reason).toBe('hlt')
      expect(pc.rip).toBe((cpu === AMD ? target & 0xffff : target) + 1)
      if (bytes.at(-1) === 0xe8) {
        expect(before - pc.register('rsp')).toBe(cpu === AMD ? 2n : 8n)
        expect(pc.read16(Number(pc.register('rsp')))).toBe((code + 2 + length) & 0xffff)
      }
    }
  })

  test('RET pops 2 bytes on AMD, 8 on Intel', () => {
    for (const cpu of [INTEL, AMD]) {
      const pc = new BareCpu({ cpu })
      pc.program((asm) =>
        asm
          .mov(rax, 0x6543_0001_3000n)
          .push(rax)
          .db(Uint8Array.from([0x66, 0xc3])),
      )
      pc.load(0x3000, [0xf4])
      pc.vector(13, 0x7000)
      pc.vector(14, 0x7000)
      pc.load(0x7000, [0xf4])
      const before = pc.register('rsp')
      expect(pc.run().reason).toBe('hlt')
      if (cpu === AMD) expect([pc.rip, before - pc.register('rsp')]).toEqual([0x3001, 6n])
      else expect(pc.rip).toBe(0x7001)
    }
  })
})

describe('far pointers in 64-bit mode (AMD APM vol. 3, "CALL (Far)", "LFS"): no 64-bit offset', () => {
  test('LFS with REX.W loads 10 bytes on Intel, 6 on AMD', () => {
    for (const cpu of [INTEL, AMD]) {
      const pc = new BareCpu({ cpu })
      // Offset 0000_0010_1111_1111, then selector 0; with a 32-bit offset the selector is 10H.
      pc.write64(0x2000, 0x0000_0010_1111_1111n)
      pc.write64(0x2008, 0n)
      pc.program((asm) =>
        asm
          .mov(rbx, 0x2000)
          .db(Uint8Array.from([0x48, 0x0f, 0xb4, 0x0b]))
          .hlt(),
      )
      expect(pc.run().reason).toBe('hlt')
      expect(pc.register('rcx')).toBe(cpu === AMD ? 0x1111_1111n : 0x10_1111_1111n)
      expect(pc.cpu.u32[(0x100 + S.FS * 32 + 20) >>> 2]).toBe(cpu === AMD ? 0x10 : 0)
    }
  })

  test('JMP m16:64 does not exist on AMD: REX.W leaves the offset at 32 bits', () => {
    for (const cpu of [INTEL, AMD]) {
      const pc = new BareCpu({ cpu })
      pc.load(0x3000, [0xf4])
      // Intel: offset 3000H, selector 8. AMD: the same offset, and the selector is the next word.
      pc.write64(0x2000, cpu === AMD ? 0x0008_0000_3000n : 0x3000n)
      pc.write64(0x2008, cpu === AMD ? 0n : 8n)
      pc.program((asm) => asm.mov(rbx, 0x2000).db(Uint8Array.from([0x48, 0xff, 0x2b])))
      expect(pc.run().reason).toBe('hlt')
      expect(pc.rip).toBe(0x3001)
    }
  })
})

describe('x87 error pointers (AMD APM vol. 2, "FXSAVE and FXRSTOR Instructions"; CPUID 8000_0008H, EBX bit 2)', () => {
  const AREA = 0x5000
  const save = (cpu: string, pending: boolean): Bench => {
    const b = on(cpu, Bench.long64())
    b.cpu.bytes.fill(0xee, AREA, AREA + 512)
    b.s.set(S.S_FOP, 0x123)
    b.s.set64(S.S_FIP, 0x4567, 0)
    b.s.set64(S.S_FDP, 0x89ab, 0)
    if (pending) b.s.set(S.S_FSW, 0x8081)
    expect(b.outcome('FXSAVE64', { size: 8, address: AREA })).toBe('ok')
    return b
  }
  test.each([
    { cpu: 'core2', pending: false, saved: true },
    { cpu: 'opteron', pending: false, saved: false },
    { cpu: 'opteron', pending: true, saved: true },
    { cpu: 'max,vendor=amd', pending: false, saved: false },
  ])('FXSAVE on $cpu, exception pending $pending: saved $saved', ({ cpu, pending, saved }) => {
    const b = save(cpu, pending)
    expect([b.u16(AREA + 6), b.u32(AREA + 8), b.u32(AREA + 16)]).toEqual(saved ? [0x123, 0x4567, 0x89ab] : [0, 0, 0])
    expect(b.u32(AREA + 24)).toBe(0x1f80)
  })
  test.each([
    { cpu: 'core2', pending: false, restored: true },
    { cpu: 'opteron', pending: false, restored: false },
    { cpu: 'max,vendor=amd', pending: false, restored: true },
    { cpu: 'opteron', pending: true, restored: true },
  ])('FXRSTOR on $cpu, exception pending $pending: restored $restored', ({ cpu, pending, restored }) => {
    const b = save('core2', pending)
    on(cpu, b)
    b.s.set(S.S_FOP, 1)
    b.s.set64(S.S_FIP, 2, 0)
    b.s.set64(S.S_FDP, 3, 0)
    expect(b.outcome('FXRSTOR64', { size: 8, address: AREA })).toBe('ok')
    expect([b.s.get(S.S_FOP), b.s.get(S.S_FIP), b.s.get(S.S_FDP)]).toEqual(
      restored ? [0x123, 0x4567, 0x89ab] : [1, 2, 3],
    )
  })
})

describe('PAE paging (SDM vol. 3A, "PDPTE Registers"; AMD APM vol. 2, "Page-Directory-Pointer Entries")', () => {
  test('a reserved bit of a PDPTE: #GP of MOV CR3 on Intel, on AMD #PF when it is used', () => {
    for (const cpu of [INTEL, AMD]) {
      const pc = new BareCpu({ mode: 'protected', cpu })
      pc.write64(0x30_0000, 0x30_1001n)
      pc.write64(0x30_0008, 0x30_1003n)
      pc.write64(0x30_1000, 0x83n)
      pc.write64(0x30_1008, 0x20_0083n)
      pc.write64(0x5000 + 8 * 13, 0x0000_8e00_0008_7000n)
      pc.write64(0x5000 + 8 * 14, 0x0000_8e00_0008_7010n)
      pc.load(0x7000, [0xf4])
      pc.load(0x7010, [0xf4])
      pc.write64(0x6000, 0n)
      pc.write64(0x6008, 0x00cf_9b00_0000_ffffn)
      pc.write64(0x6010, 0x00cf_9300_0000_ffffn)
      pc.load(0x6100, [0x17, 0, 0x00, 0x60, 0, 0, 0xff, 0x07, 0x00, 0x50, 0, 0])
      pc.program((asm) =>
        asm
          .db(Uint8Array.from([0x0f, 0x01, 0x15, 0x00, 0x61, 0, 0, 0x0f, 0x01, 0x1d, 0x06, 0x61, 0, 0]))
          .mov(eax, 0x20)
          .mov(cr4, eax)
          .mov(eax, 0x30_0000)
          .mov(cr3, eax)
          .db(Uint8Array.from([0x0f, 0x20, 0xc0, 0x0d, 0, 0, 0, 0x80, 0x0f, 0x22, 0xc0]))
          .mov(eax, dword(0x4000_0000))
          .hlt(),
      )
      expect(pc.run().reason).toBe('hlt')
      expect(pc.rip).toBe(cpu === AMD ? 0x7011 : 0x7001)
      if (cpu === AMD) expect(pc.read32(Number(pc.register('rsp')))).toBe(9)
    }
  })
})
