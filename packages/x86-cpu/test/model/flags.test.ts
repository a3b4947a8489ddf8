// VIF and VIP exist where the virtual-8086 mode extensions do; elsewhere they are reserved and stay zero (SDM vol. 3A,
// "System Flags and Fields in the EFLAGS Register").
import { far, rax, type Assembler } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { saveVcpu, writeModelSpecificRegister } from '../../src/index.ts'
import { FLAG_VIF, FLAG_VIP, FLAG_VM } from '../../src/state/state-layout.ts'
import { BareCpu, CODE, GDT, initialState } from '../support/bare-cpu.ts'
import { area, smiHandler } from '../support/smm.ts'

const VIRTUAL = FLAG_VIF | FLAG_VIP
const TARGET = CODE + 0x100
const STACK = 0x8_0000
/** A selector for a second TSS, and where that is. */
const OTHER = 0x30
const OTHER_TSS = 0x30_7800

function start(mode: 'protected' | 'long', cpu: string, build: (asm: Assembler) => unknown): BareCpu {
  const pc = new BareCpu({ mode, cpu })
  pc.program((asm) => void build(asm))
  return pc
}

interface Way {
  readonly name: string
  /** Loads flags that have both bits set, and stops right behind. */
  readonly run: (cpu: string) => BareCpu
}

const ways: readonly Way[] = [
  {
    name: 'IRETQ',
    run(cpu) {
      const pc = start('long', cpu, (asm) => {
        asm.push(0x10).mov(rax, STACK).push(rax).push(VIRTUAL).push(8).push(TARGET).iretq()
      })
      for (let i = 0; i < 7; i++) pc.step()
      return pc
    },
  },
  {
    name: 'IRETD to virtual-8086 mode',
    run(cpu) {
      const pc = start('protected', cpu, (asm) => {
        for (let i = 0; i < 4; i++) asm.push(0)
        asm
          .push(0)
          .push(0x8000)
          .push(VIRTUAL | FLAG_VM)
          .push(0)
          .push(TARGET)
          .iretd()
      })
      for (let i = 0; i < 10; i++) pc.step()
      return pc
    },
  },
  {
    name: 'SYSRET',
    run(cpu) {
      const pc = start('long', cpu, (asm) => asm.sysretq())
      writeModelSpecificRegister(pc.cpu, 0xc000_0080, 0xd01n)
      pc.setRegister('r11', VIRTUAL)
      pc.setRegister('rcx', TARGET)
      pc.step()
      return pc
    },
  },
  {
    name: 'a task switch',
    run(cpu) {
      const pc = start('protected', cpu, (asm) => asm.jmpf(far(OTHER, 0)))
      pc.cpu.load({ ...initialState('protected'), gdtr: { base: GDT, limit: 0x37 } })
      const tss = 0x0000_8900_0000_0067n | (BigInt(OTHER_TSS & 0xff_ffff) << 16n) | (BigInt(OTHER_TSS >>> 24) << 56n)
      for (const [i, descriptor] of [0n, 0x00cf_9b00_0000_ffffn, 0x00cf_9300_0000_ffffn].entries())
        pc.write64(GDT + 8 * i, descriptor)
      pc.write64(GDT + OTHER, tss)
      pc.write32(OTHER_TSS + 0x20, TARGET)
      pc.write32(OTHER_TSS + 0x24, VIRTUAL)
      for (const at of [0x48, 0x50, 0x54, 0x58, 0x5c]) pc.write32(OTHER_TSS + at, 0x10)
      pc.write32(OTHER_TSS + 0x4c, 8)
      pc.step()
      return pc
    },
  },
  {
    name: 'RSM',
    run(cpu) {
      const pc = start('long', cpu, (asm) => asm.hlt())
      smiHandler(pc, (asm) => asm.rsm())
      pc.cpu.smi()
      pc.step()
      // RFLAGS in Intel 64's map of the save area.
      pc.write32(area(0xffe8), VIRTUAL)
      pc.step()
      return pc
    },
  },
]

describe.each(ways)('$name', ({ run }) => {
  test.each([
    ['max', VIRTUAL],
    ['max,-vme', 0],
  ])('on %s', (cpu, expected) => {
    const pc = run(cpu)
    expect(pc.activity).toBe(0)
    expect(Number(saveVcpu(pc.cpu).registers['rflags']) & VIRTUAL).toBe(expected)
  })
})
