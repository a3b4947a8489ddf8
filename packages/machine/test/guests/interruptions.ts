import { descriptor } from '@retrap/x86-assembler/guest-code'
import * as x86 from '@retrap/x86-assembler'
import { AT, guest, SELECTOR } from './bench.ts'

const APIC = 0xfee0_0000
const VECTOR = 0x50

/** Where interrupts are taken, and where they are held off. */
export function windows(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    asm.mov(x86.dword(APIC + 0xf0), 0x1ff)
    const attempt = (name: string, code: (a: x86.Assembler) => void, clear = true): void => {
      bench.attempt(name, (a) => {
        const here = a.label()
        a.mov(x86.dword(APIC + 0x300), 0x4_4000 | VECTOR)
        a.mov(x86.dword(AT.mark), here).bind(here)
        code(a)
      })
      // What came is ended; what did not come is taken now.
      if (clear) {
        const done = asm.label()
        asm.mov(x86.dword(AT.mark), done).mov(x86.dword(AT.resume), done).mov(x86.dword(AT.resumeStack), x86.esp)
        asm
          .mov(x86.dword(APIC + 0xb0), 0)
          .sti()
          .nop()
          .nop()
          .bind(done)
          .cli()
          .mov(x86.dword(APIC + 0xb0), 0)
        bench.say('\n')
      }
    }
    attempt('STI and a NOP', (a) => a.sti().nop().nop().cli())
    attempt('STI and CLI', (a) => a.sti().cli().nop())
    attempt('STI twice', (a) => a.sti().sti().nop().cli())
    attempt('POPF', (a) => a.push(0x202).popfd().nop().nop().cli())
    attempt('IRET', (a) => {
      const to = a.label()
      a.push(0x202).push(SELECTOR.code).push(to).iretd()
      a.nop().bind(to).nop().nop().cli()
    })
    attempt('IRET to level 3', (a) => {
      const to = a.label()
      bench.toUser(to, 0x202)
      a.bind(to).nop().jmp(to)
    })
    attempt('STI and HLT', (a) => a.sti().hlt().nop().cli())
    attempt('STI and a load of SS', (a) => a.mov(x86.ax, x86.ss).nop().sti().nop().mov(x86.ss, x86.ax).nop().cli())
    attempt('a software interrupt first', (a) => a.sti().int(0x30).cli())
    attempt('a fault first', (a) => a.sti().ud2().cli())
    asm.mov(x86.dword(APIC + 0x80), 0x60)
    attempt('task priority above it', (a) => a.sti().nop().nop().cli(), false)
    // When a write to the APIC takes effect is not said to the instruction: these leave it time.
    const soon = (a: x86.Assembler): void => {
      a.mov(x86.ecx, 100)
      const loop = a.here()
      a.dec(x86.ecx).jnz(loop)
    }
    const lateGate = (name: string, vector: number, code: (a: x86.Assembler) => void): void => {
      bench.attempt(name, (a) => {
        const there = a.label()
        bench.gate(vector, SELECTOR.code, there, 0x8e)
        code(a)
        soon(a)
        a.cli().mov(x86.eax, 0xdead)
        const out = a.label()
        a.jmp(out).bind(there).add(x86.esp, 12).mov(x86.eax, vector).bind(out)
      })
    }
    lateGate('task priority lowered', VECTOR, (a) =>
      a
        .sti()
        .nop()
        .mov(x86.dword(APIC + 0x80), 0),
    )
    asm.mov(x86.dword(APIC + 0xb0), 0)
    lateGate('two at once: the higher', 0x61, (a) =>
      a
        .mov(x86.dword(APIC + 0x300), 0x4_4051)
        .mov(x86.dword(APIC + 0x300), 0x4_4061)
        .sti(),
    )
    lateGate('the lower waits for the end of the higher', 0x51, (a) => a.sti())
    lateGate('which comes', 0x51, (a) => a.sti().mov(x86.dword(APIC + 0xb0), 0))
    asm.mov(x86.dword(APIC + 0xb0), 0)
    bench.attempt('nothing is left in service', (a) =>
      a
        .mov(x86.eax, x86.dword(APIC + 0x120))
        .or(x86.eax, x86.dword(APIC + 0x130))
        .or(x86.eax, x86.dword(APIC + 0x220)),
    )
  })
}

/** Single steps and breakpoints. */
export function debugging(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    const steps = (name: string, code: (a: x86.Assembler) => void): void => {
      bench.attempt(name, code)
      bench.attempt('  DR6', (a) => a.mov(x86.eax, x86.dr6))
      asm.mov(x86.eax, 0xffff_0ff0 | 0).mov(x86.dr6, x86.eax)
    }
    steps('TF set by POPF', (a) => a.push(0x102).popfd().nop().nop())
    steps('TF set by IRET', (a) => {
      const to = a.label()
      a.push(0x102).push(SELECTOR.code).push(to).iretd().bind(to).nop().nop()
    })
    steps('TF and a branch', (a) => {
      const to = a.label()
      a.push(0x102).popfd().jmp(to).nop().bind(to).nop()
    })
    steps('TF and REP MOVSB', (a) =>
      a.mov(x86.esi, AT.data).mov(x86.edi, AT.code).mov(x86.ecx, 3).push(0x102).popfd().rep().movsb().nop(),
    )
    steps('how far it went', (a) => a.mov(x86.eax, x86.ecx))
    steps('TF and INT', (a) => a.push(0x102).popfd().int(0x30).nop())
    steps('TF and a fault', (a) => a.push(0x102).popfd().ud2().nop())
    steps('TF and a load of SS', (a) => a.mov(x86.ax, x86.ss).push(0x102).popfd().mov(x86.ss, x86.ax).nop().nop())
    steps('TF and PUSHF', (a) => a.push(0x102).popfd().pushfd().pop(x86.eax))
    steps('TF and CPUID', (a) => a.push(0x102).popfd().cpuid().nop())
    const armed = (
      name: string,
      control: number,
      address: number | ReturnType<x86.Assembler['label']>,
      code: (a: x86.Assembler) => void,
    ): void => {
      steps(name, (a) => {
        a.mov(x86.eax, address).mov(x86.dr0, x86.eax).mov(x86.eax, x86.imm32(control)).mov(x86.dr7, x86.eax)
        const here = a.label()
        a.mov(x86.dword(AT.mark), here).bind(here)
        code(a)
      })
      asm.mov(x86.eax, 0x400).mov(x86.dr7, x86.eax)
    }
    const target = asm.label()
    armed('an instruction breakpoint', 0x402, target, (a) => a.nop().bind(target).nop().nop())
    armed('a write breakpoint', 0xd_0402, AT.data, (a) =>
      a.mov(x86.eax, x86.dword(AT.data)).mov(x86.dword(AT.data), x86.eax).nop().nop(),
    )
    armed('a read breakpoint', 0xf_0402, AT.data, (a) => a.mov(x86.eax, x86.dword(AT.data)).nop())
    armed('a byte beside it', 0xd_0402, AT.data, (a) => a.mov(x86.byte(AT.data + 3), x86.al).nop())
    armed('a byte behind it', 0xd_0402, AT.data, (a) => a.mov(x86.byte(AT.data + 4), x86.al).nop())
    armed('a write breakpoint in REP STOSB', 0x1_0402, AT.data + 2, (a) =>
      a.mov(x86.edi, AT.data).mov(x86.ecx, 5).rep().stosb().nop(),
    )
    armed('how far it went', 0x400, 0, (a) => a.mov(x86.eax, x86.ecx))
    armed('a write that faults', 0xd_0402, AT.data, (a) =>
      a
        .xor(x86.eax, x86.eax)
        .mov(x86.fs, x86.ax)
        .mov(x86.byte(AT.data, { segment: x86.fs }), x86.al)
        .nop(),
    )
    armed('general detect', 0x2402, 0, (a) => a.mov(x86.eax, x86.dr7))
  })
}

/** Limits of segments and alignment; QEMU's TCG checks neither. */
export function limits(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    const SMALL = 0x48
    const DOWN = 0x50
    const DOWN16 = 0x58
    const READ = 0x60
    const CODE = 0x68
    const WRAP = 0x70
    const EXECUTE = 0x78
    bench.describe(SMALL, descriptor(AT.data, 0xfff, 0x93, 4))
    bench.describe(DOWN, descriptor(AT.data, 0xfff, 0x97, 4))
    bench.describe(DOWN16, descriptor(AT.data, 0xfff, 0x97, 0))
    bench.describe(READ, descriptor(AT.data, 0xfff, 0x91, 4))
    bench.describe(CODE, descriptor(AT.code, 0xff, 0x9b, 4))
    bench.describe(WRAP, descriptor(0xffff_f000, 0xf_ffff, 0x93, 0xc))
    bench.describe(EXECUTE, descriptor(AT.data, 0xfff, 0x99, 4))
    const load = (name: string, selector: number, offset: number, size: 1 | 2 | 4, write = false): void => {
      bench.attempt(name, (a) => {
        a.mov(x86.ax, selector).mov(x86.es, x86.ax)
        const at = { segment: x86.es }
        if (write) a.mov(x86.dword(offset, at), x86.ebx)
        else if (size === 4) a.mov(x86.ebx, x86.dword(offset, at))
        else if (size === 2) a.mov(x86.bx, x86.word(offset, at))
        else a.mov(x86.al, x86.byte(offset, at))
      })
      asm.mov(x86.ax, SELECTOR.data).mov(x86.es, x86.ax)
    }
    load('the last dword', SMALL, 0xffc, 4)
    load('a dword over the limit', SMALL, 0xffd, 4)
    load('the last byte', SMALL, 0xfff, 1)
    load('the byte behind', SMALL, 0x1000, 1)
    load('a dword that wraps at 4 GiB', SMALL, -2, 4)
    load('expand-down: at the limit', DOWN, 0xfff, 1)
    load('expand-down: above it', DOWN, 0x1000, 4)
    load('expand-down: the last dword', DOWN, -4, 4)
    load('expand-down: a dword that wraps', DOWN, -3, 4)
    load('expand-down, 16 bits: the last word', DOWN16, 0xfffe, 2)
    load('expand-down, 16 bits: over it', DOWN16, 0xffff, 2)
    load('a flat segment: a dword that wraps at its end', SELECTOR.data, -2, 4)
    load('a base near 4 GiB wraps to the bottom', WRAP, 0x1000 + AT.data, 4)
    load('a write to a read-only segment', READ, 0, 4, true)
    load('a read of an execute-only segment', EXECUTE, 0, 4)
    bench.attempt('a null segment', (a) =>
      a
        .xor(x86.ax, x86.ax)
        .mov(x86.es, x86.ax)
        .mov(x86.bx, x86.word(0, { segment: x86.es })),
    )
    asm.mov(x86.ax, SELECTOR.data).mov(x86.es, x86.ax)
    bench.describe(SMALL, descriptor(AT.data, 0xfff, 0xf3, 4))
    bench.attempt('a small stack: PUSH below zero', (a) => {
      const target = a.label()
      bench.toUser(target)
      a.bind(target)
        .mov(x86.ax, SMALL | 3)
        .mov(x86.ss, x86.ax)
        .mov(x86.esp, 2)
        .push(x86.eax)
    })
    asm
      .mov(x86.dword(AT.code), 0x9090_9090)
      .mov(x86.byte(AT.code + 0xfe), 0x90)
      .mov(x86.byte(AT.code + 0xff), 0xb8)
    bench.attempt('an instruction over the limit of CS', (a) => a.mov(x86.dword(AT.mark), 0).jmpf(x86.far(CODE, 0xfe)))
    bench.attempt('a jump beyond the limit of CS', (a) => a.jmpf(x86.far(CODE, 0x100)))
    asm.mov(x86.eax, x86.cr0).or(x86.eax, 0x4_0000).mov(x86.cr0, x86.eax)
    const user = (name: string, code: (a: x86.Assembler) => void, flags = 0x4_0002): void => {
      bench.attempt(name, (a) => {
        const target = a.label()
        bench.toUser(target, flags)
        a.mov(x86.ax, x86.ax).bind(target)
        a.mov(x86.ax, SELECTOR.userData).mov(x86.ds, x86.ax).mov(x86.es, x86.ax)
        code(a)
        a.int(0x30)
      })
    }
    user('an aligned dword', (a) => a.mov(x86.eax, x86.dword(AT.data)))
    user('an odd dword', (a) => a.mov(x86.eax, x86.dword(AT.data + 1)))
    user('an odd word', (a) => a.mov(x86.ax, x86.word(AT.data + 1)))
    user('an odd dword without AC', (a) => a.mov(x86.eax, x86.dword(AT.data + 1)), 2)
    user('an odd locked add', (a) => a.lock().add(x86.dword(AT.data + 2), x86.eax))
    user('a push to an odd stack', (a) => a.dec(x86.esp).push(x86.eax))
    user('a string at odd addresses', (a) =>
      a
        .mov(x86.esi, AT.data + 1)
        .mov(x86.edi, AT.code)
        .movsd(),
    )
    user('a far pointer', (a) => a.les(x86.eax, x86.fword(AT.data + 2)))
    bench.attempt('level 0 with AC', (a) =>
      a
        .push(0x4_0002)
        .popfd()
        .mov(x86.eax, x86.dword(AT.data + 1)),
    )
    bench.attempt('ICEBP', (a) => a.db(0xf1).nop())
    bench.attempt('TF and HLT with nothing to wake it', (a) => a.push(0x102).popfd().hlt().nop())
  })
}
