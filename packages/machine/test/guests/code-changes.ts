import {
  al,
  type Assembler,
  byte,
  cr0,
  cr3,
  cr4,
  dword,
  eax,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  esp,
  imm32,
  type Label,
  type LabelExpression,
  word,
  xmm0,
  xmmword,
  cr2,
} from '@retrap/x86-assembler'
import { AT, type Bench, guest } from './bench.ts'

/** Copies code to RAM at `to`, where it may be changed, and calls it. */
function inRam(bench: Bench, to: number, build: (asm: Assembler, at: (label: Label) => LabelExpression) => void): void {
  const { asm } = bench
  const start = asm.label()
  const end = asm.label()
  const over = asm.label()
  asm.jmp(over).bind(start)
  // Where a label of the code is once it has been copied.
  build(asm, (label) => label.minus(start).plus(to))
  asm.ret().bind(end).bind(over)
  asm.mov(esi, start).mov(edi, to).mov(ecx, end.minus(start)).rep().movsb()
  asm.xor(eax, eax).mov(edx, to).call(edx)
}

const PAGE = 0x1000

/** Code that changes itself, in every way that a store can come about. */
export function selfModifying(): Uint8Array {
  return guest((bench) => {
    const code = AT.code
    bench.attempt('the next instruction', () =>
      inRam(bench, code, (a, at) => {
        const next = a.label()
        a.mov(byte(at(next)), 0x48)
        a.bind(next).inc(eax)
      }),
    )
    bench.attempt('an immediate ahead, in a loop', () =>
      inRam(bench, code, (a, at) => {
        const immediate = a.label()
        const loop = a.label()
        a.mov(ecx, 1000).bind(loop)
        a.inc(dword(at(immediate).plus(1)))
        a.bind(immediate).add(eax, imm32(0))
        a.dec(ecx).jnz(loop)
      }),
    )
    bench.attempt('an immediate behind, in a loop', () =>
      inRam(bench, code, (a, at) => {
        const loop = a.label()
        a.mov(ecx, 1000).bind(loop)
        a.add(eax, imm32(0))
        a.inc(dword(at(loop).plus(1)))
        a.dec(ecx).jnz(loop)
      }),
    )
    bench.attempt('a branch that has been taken often', () =>
      inRam(bench, code, (a, at) => {
        const loop = a.label()
        const branch = a.label()
        const one = a.label()
        const two = a.label()
        const join = a.label()
        a.mov(ecx, 300).bind(loop)
        a.cmp(ecx, 100)
        const skip = a.label()
        a.jne(skip)
          .mov(byte(at(branch).plus(1)), two.minus(branch).plus(-2))
          .bind(skip)
        a.bind(branch).jmp(one)
        a.bind(one).inc(eax).jmp(join)
        a.bind(two).add(eax, 0x10000)
        a.bind(join).dec(ecx).jnz(loop)
      }),
    )
    bench.attempt("a branch's target", () =>
      inRam(bench, code, (a, at) => {
        const loop = a.label()
        const target = a.label()
        const skip = a.label()
        a.mov(ecx, 300).bind(loop).cmp(ecx, 100).jne(skip)
        a.mov(word(at(target)), 0x4048)
        a.bind(skip).jmp(target)
        a.bind(target).inc(eax).inc(eax).dec(ecx).jnz(loop)
      }),
    )
    bench.attempt('a condition', () =>
      inRam(bench, code, (a, at) => {
        const loop = a.label()
        const branch = a.label()
        const skip = a.label()
        a.mov(ecx, 300).bind(loop).cmp(ecx, 150)
        a.bind(branch).ja(skip).inc(eax).bind(skip)
        a.cmp(ecx, 100)
        const other = a.label()
        a.jne(other)
          .mov(byte(at(branch)), 0x76)
          .bind(other)
        a.dec(ecx).jnz(loop)
      }),
    )
    // The instruction `mov ebx, imm32` lies across two pages; either part is changed while the loop runs.
    for (const [part, offset] of [
      ['first', 1],
      ['second', 4],
    ] as const) {
      bench.attempt(`an instruction across two pages, its ${part} part`, () =>
        inRam(bench, code + PAGE - 20, (a, at) => {
          const loop = a.label()
          const crossing = a.label()
          // 17 bytes to the boundary minus 3.
          a.mov(ecx, imm32(200)).bind(loop)
          a.inc(byte(at(crossing).plus(offset)))
          a.nop().nop().nop().nop().nop().nop()
          a.bind(crossing).mov(ebx, imm32(0x0101_0101))
          a.add(eax, ebx).dec(ecx).jnz(loop)
        }),
      )
    }
    const store = (name: string, write: (a: Assembler, address: LabelExpression) => void): void => {
      bench.attempt(`through ${name}`, () =>
        inRam(bench, code, (a, at) => {
          const loop = a.label()
          const patched = a.label()
          const second = a.label()
          // First 60 rounds run the old code; then the 16 bytes from `patched` on are changed to `bytes`.
          a.mov(ecx, 100).bind(loop).cmp(ecx, 40)
          const skip = a.label()
          a.jne(skip)
          write(a, at(patched))
          a.bind(skip)
          a.bind(patched)
          for (let i = 0; i < 16; i++) a.inc(eax)
          a.bind(second).dec(ecx).jnz(loop)
        }),
      )
    }
    store('MOVSD', (a, to) => a.mov(esi, AT.data).mov(dword(esi), 0x4848_4848).mov(edi, to).movsd())
    store('REP STOSB', (a, to) =>
      a.push(ecx).push(eax).mov(edi, to).mov(al, 0x48).mov(ecx, 16).rep().stosb().pop(eax).pop(ecx),
    )
    store('PUSH', (a, to) => a.mov(edx, esp).mov(esp, to).add(esp, 4).push(0x4848_4848).mov(esp, edx))
    store('PUSHA', (a, to) =>
      a
        .mov(edx, esp)
        .push(eax)
        .push(ecx)
        .mov(eax, 0x4848_4848)
        .mov(ecx, eax)
        .mov(esp, to)
        .add(esp, 16)
        .push(eax)
        .push(eax)
        .push(eax)
        .push(eax)
        .mov(esp, edx)
        .mov(ecx, dword(esp, { disp: -8 }))
        .mov(eax, dword(esp, { disp: -4 })),
    )
    store('XCHG', (a, to) => a.mov(edx, 0x4848_4848).xchg(dword(to), edx))
    store('LOCK CMPXCHG', (a, to) =>
      a.push(eax).mov(eax, dword(to)).mov(edx, 0x9090_9090).lock().cmpxchg(dword(to), edx).pop(eax),
    )
    store('LOCK XADD', (a, to) => a.mov(edx, 0x0808_0808).lock().xadd(dword(to), edx))
    store('FSTP', (a, to) => a.fninit().fld1().fstp(dword(to)).mov(dword(to), 0x4848_4848))
    store('MOVUPS', (a, to) => {
      a.push(eax).mov(eax, cr4).or(eax, 0x200).mov(cr4, eax).pop(eax)
      a.mov(edi, AT.data)
      for (let i = 0; i < 16; i += 4) a.mov(dword(edi, { disp: i }), 0x4890_4890)
      a.movups(xmm0, xmmword(edi)).mov(edi, to).movups(xmmword(edi), xmm0)
    })
    store('BTS', (a, to) => a.bts(dword(to), 3))
    store('a CALL', (a, to) => {
      const sub = a.label()
      const back = a.label()
      a.mov(edx, esp).mov(esp, to).add(esp, 4).call(sub)
      a.bind(sub).mov(esp, edx).mov(dword(to), 0x9048_9090)
      a.bind(back)
    })
    store('an interrupt frame', (a, to) => {
      a.pushfd().mov(edx, esp).mov(esp, to).add(esp, 4).pushfd().mov(dword(to), 0x4890_9048).mov(esp, edx).popfd()
    })
    bench.attempt('REP STOSB over itself', () =>
      inRam(bench, code, (a, at) => {
        const here = a.label()
        a.mov(edi, at(here)).mov(al, 0x40).mov(ecx, 8)
        a.bind(here).rep().stosb()
        for (let i = 0; i < 8; i++) a.nop()
        a.and(eax, 0xff)
      }),
    )
  })
}

const PD = AT.pages
const PT = AT.pages + PAGE

/** Code behind page tables that change. */
export function remapping(): Uint8Array {
  return guest((bench) => {
    const { asm } = bench
    // Identity for 4 MiB; linear 0x200000 is what the tests move about.
    asm.mov(edi, PT).mov(eax, 7).mov(ecx, 1024)
    const loop = asm.here()
    asm.stosd().add(eax, PAGE).dec(ecx).jnz(loop)
    asm.mov(dword(PD), PT | 7)
    asm
      .mov(edi, PD + 4)
      .xor(eax, eax)
      .mov(ecx, 1023)
      .rep()
      .stosd()
    asm.mov(eax, PD).mov(cr3, eax).mov(eax, cr0).or(eax, 0x8001_0000).mov(cr0, eax)
    const pte = PT + 4 * 0x200
    // Two pages of code: one adds 1, the other adds 0x100.
    const page = (at: number, amount: number): void =>
      void asm
        .mov(byte(at), 5)
        .mov(dword(at + 1), amount)
        .mov(byte(at + 5), 0xc3)
    page(AT.code, 1)
    page(AT.code + PAGE, 0x100)
    const call = (): void => void asm.mov(edx, 0x20_0000).call(edx)
    const map = (value: number): void => void asm.mov(dword(pte), value)
    const flush = (): void => void asm.invlpg(byte(0x20_0000))
    const reload = (): void => void asm.mov(edx, cr3).mov(cr3, edx)
    map(AT.code | 7)
    bench.attempt('INVLPG', () => {
      call()
      call()
      map((AT.code + PAGE) | 7)
      flush()
      call()
      map(AT.code | 7)
      flush()
      call()
    })
    bench.attempt('a load of CR3', () => {
      call()
      map((AT.code + PAGE) | 7)
      reload()
      call()
      map(AT.code | 7)
      reload()
      call()
    })
    bench.attempt('a global page and CR4.PGE', () => {
      asm.push(eax).mov(eax, cr4).or(eax, 0x80).mov(cr4, eax).pop(eax)
      map(AT.code | 0x107)
      flush()
      call()
      map((AT.code + PAGE) | 7)
      asm.push(eax).mov(eax, cr4).and(al, 0x7f).mov(cr4, eax).pop(eax)
      call()
      map(AT.code | 7)
      flush()
    })
    bench.attempt('code written through another linear address', () => {
      call()
      asm.mov(dword(AT.code + 1), 0x10)
      call()
      asm.mov(dword(AT.code + 1), 1)
      call()
    })
    bench.attempt('code on a page that is not there', () => {
      map(0)
      flush()
      asm.mov(dword(AT.mark), 0x20_0000)
      call()
    })
    bench.attempt('its address', (a) => a.mov(eax, cr2))
    bench.attempt('a read-only page, written by level 0 with WP', () => {
      map(AT.code | 5)
      flush()
      asm.mov(dword(0x20_0000), 1)
    })
    bench.attempt('the same without WP', (a) => {
      a.mov(eax, cr0).and(eax, 0xfffe_ffff).mov(cr0, eax).mov(dword(0x20_0001), 0x22)
      call()
      a.mov(edx, cr0).or(edx, 0x1_0000).mov(cr0, edx)
    })
    bench.attempt('A and D bits after a read', (a) => {
      map(AT.code | 7)
      flush()
      a.mov(edx, dword(0x20_0000)).mov(eax, dword(pte)).and(eax, 0xfff)
    })
    bench.attempt('A and D bits after a write', (a) => {
      map(AT.code | 7)
      flush()
      a.mov(dword(0x20_0ff0), 1).mov(eax, dword(pte)).and(eax, 0xfff)
    })
    bench.attempt('A and D bits after a write that follows a read', (a) => {
      map(AT.code | 7)
      flush()
      a.mov(edx, dword(0x20_0000)).mov(dword(0x20_0ff0), 1).mov(eax, dword(pte)).and(eax, 0xfff)
    })
    bench.attempt('D of a locked compare that fails', (a) => {
      map(AT.code | 7)
      flush()
      a.xor(eax, eax).lock().cmpxchg(dword(0x20_0ff0), edx).mov(eax, dword(pte)).and(eax, 0xfff)
    })
    bench.attempt('a REP MOVSD that runs into a hole', (a) => {
      map(AT.code | 7)
      asm.mov(dword(pte + 4), 0).invlpg(byte(0x20_1000))
      a.mov(esi, AT.data).mov(edi, 0x20_0ff0).mov(ecx, 16).rep().movsd()
    })
    const hole = asm.label()
    bench.attempt('the registers it leaves', (a) => {
      bench.gate(14, 0x08, hole, 0x8e)
      a.mov(esi, AT.data).mov(edi, 0x20_0ff0).mov(ecx, 16).rep().movsd()
      a.bind(hole).mov(eax, ecx).shl(eax, 16).add(eax, edi).sub(eax, 0x20_0000).mov(esp, dword(AT.resumeStack))
    })
    const counted = asm.label()
    bench.attempt('PUSHA over the edge of a page writes nothing', (a) => {
      bench.gate(14, 0x08, counted, 0x8e)
      a.mov(dword(AT.tss + 4), AT.stack0)
      a.mov(ebx, 0x20_2008).mov(dword(0x20_2000), 0x55).mov(dword(0x20_2004), 0x66).mov(eax, 0x77)
      // The fault finds the same stack, so that it must go to another: by level 3.
      a.bind(counted).mov(esp, dword(AT.resumeStack)).mov(eax, dword(0x20_2000)).shl(eax, 8).add(eax, dword(0x20_2004))
    })
    asm.mov(eax, cr0).and(eax, 0x7fff_ffff).mov(cr0, eax)
  })
}
