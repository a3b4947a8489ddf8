import { al } from '@retrap/x86-assembler'
import { describe, expect, test, vi } from 'vitest'
import { CODE, EXIT_PORT, FlatGuest, GDT, IDT, PROTECTED, RAM_BYTES, STACK, TestSleeper } from './flat-guest.ts'
import { descriptor, FLAT } from './index.ts'

describe('segment descriptors (SDM vol. 3A, "Segment Descriptors")', () => {
  test('have each field in its bits', () => {
    expect(descriptor(0x1234_5678, 0xa_bcde, 0x92, 4)).toBe(0x124a_9234_5678_bcden)
    expect(descriptor(0xffff_ffff, 0, 0, 0)).toBe(0xff00_00ff_ffff_0000n)
    expect(descriptor(0, 0xf_ffff, 0, 0)).toBe(0x000f_0000_0000_ffffn)
    expect(descriptor(0, 0, 0xff, 0xf)).toBe(0x00f0_ff00_0000_0000n)
  })

  test('are those that Linux has for its 32-bit kernel, accessed', () => {
    // arch/x86/kernel/cpu/common.c, `GDT_ENTRY_KERNEL32_CS` and `GDT_ENTRY_KERNEL_DS`, in hexadecimal.
    expect(FLAT).toEqual({ code: 0x00cf_9b00_0000_ffffn, data: 0x00cf_9300_0000_ffffn })
  })
})

/** A guest whose RAM is an array. */
class ArrayGuest extends FlatGuest {
  readonly bytes = new Uint8Array(RAM_BYTES)

  protected ram() {
    return {
      load: (gpa: number, bytes: Uint8Array) => this.bytes.set(bytes, gpa),
      read: (gpa: number, into: Uint8Array) => {
        if (gpa + into.length > RAM_BYTES) return false
        into.set(this.bytes.subarray(gpa, gpa + into.length))
        return true
      },
    }
  }

  begin(): void {
    this.loadDescriptors()
  }
}

describe('the flat guest', () => {
  test('has its parts apart from each other, in its RAM', () => {
    const [idtEnd, gdtEnd] = [IDT + PROTECTED.idtr.limit + 1, GDT + PROTECTED.gdtr.limit + 1]
    expect([idtEnd - IDT, gdtEnd - GDT]).toEqual([256 * 8, 3 * 8])
    expect([PROTECTED.gdtr.base, PROTECTED.registers.rip, PROTECTED.registers.rsp]).toEqual([GDT, CODE, STACK])
    expect(idtEnd).toBeLessThanOrEqual(GDT)
    expect(gdtEnd).toBeLessThanOrEqual(CODE)
    expect([CODE < STACK, STACK < RAM_BYTES, STACK % 16, CODE % 16, RAM_BYTES]).toEqual([true, true, 0, 0, 0x10_0000])
    expect(EXIT_PORT).toBe(0xf4)
  })

  test('has the descriptors that its registers hold, and protected mode without paging', () => {
    const guest = new ArrayGuest()
    guest.begin()
    const { segments, cr0, cr3, cr4, efer, registers } = PROTECTED
    for (const { selector, base, limit, attributes } of [segments.cs, segments.ds]) {
      const view = new DataView(guest.bytes.buffer)
      const pages = (limit - 0xfff) / 0x1000
      expect(view.getBigUint64(GDT + selector, true)).toBe(
        descriptor(base, pages, attributes & 0xff, attributes >>> 12),
      )
    }
    expect(guest.bytes.subarray(GDT, GDT + 8)).toEqual(new Uint8Array(8))
    expect([segments.es, segments.fs, segments.gs, segments.ss]).toEqual(Array.from({ length: 4 }, () => segments.ds))
    // An LDT; a busy 32-bit TSS of the least length. PE and ET; the flag that is always set.
    expect([segments.ldtr, segments.tr]).toEqual([
      { selector: 0, base: 0, limit: 0, attributes: 0x82 },
      { selector: 0, base: 0, limit: 0x67, attributes: 0x8b },
    ])
    expect([cr0, cr3, cr4, efer, registers.rflags]).toEqual([0x11, 0, 0, 0, 2])
  })

  test('takes programs and gates, and shows its memory', () => {
    const guest = new ArrayGuest()
    guest.program(CODE, 32, (asm) => asm.mov(al, 5).hlt())
    expect(guest.read32(CODE) & 0xff_ffff).toBe(0xf4_05b0)
    // SDM vol. 3A, "IDT Descriptors": a present 32-bit interrupt gate of ring 0.
    guest.vector(0x21, 0x1234_5678)
    expect([guest.read32(IDT + 8 * 0x21), guest.read32(IDT + 8 * 0x21 + 4)]).toEqual([0x0008_5678, 0x1234_8e00])
    guest.vector(3, 0x9234_5678)
    expect(guest.read32(IDT + 8 * 3 + 4)).toBe(0x9234_8e00)
    guest.write64(0x108, 0x55n)
    guest.write64(0x100, 0xfedc_ba98_7654_3210n)
    expect([0x100, 0x104, 0x108].map((gpa) => guest.read32(gpa))).toEqual([0x7654_3210, 0xfedc_ba98, 0x55])
    expect(() => guest.read32(RAM_BYTES - 3)).toThrow('not RAM')
  })
})

describe('the sleeper of tests', () => {
  test('counts its sleeps, and is woken before its time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const sleeper = new TestSleeper()
      sleeper.wake()
      const slept = sleeper.sleep(4000)
      expect(vi.getTimerCount()).toBe(1)
      sleeper.wake()
      await slept
      await sleeper.sleep(0)
      expect([sleeper.sleeps, vi.getTimerCount()]).toEqual([2, 0])
    } finally {
      vi.useRealTimers()
    }
  })

  test('sleeps for five seconds at the most, so that a lost wake-up shows', async () => {
    vi.useFakeTimers()
    try {
      const sleeper = new TestSleeper()
      let awake = false
      const slept = sleeper.sleep(60_000).then(() => (awake = true))
      await vi.advanceTimersByTimeAsync(4999)
      expect(awake).toBe(false)
      await vi.advanceTimersByTimeAsync(1)
      await slept
    } finally {
      vi.useRealTimers()
    }
  })

  test('sleeps for its time, which is no turn of the event loop', async () => {
    const sleeper = new TestSleeper()
    const started = performance.now()
    await sleeper.sleep(20)
    expect(performance.now() - started).toBeGreaterThan(15)
  })
})
