/** Structures of arguments that end where RAM ends, and those that go on behind it. */
import { describe, expect, test } from 'vitest'
import { E, SELF } from './support/headers.ts'
import { RAM_BYTES, XenTestGuest } from './support/xen-guest.ts'

/** Public header of the structure, its command, and its bytes for 64-bit and for 32-bit callers. */
interface Argument {
  readonly what: string
  readonly hypercall: number
  readonly command: number
  readonly bytes: readonly [native: number, compat: number]
  /** The words of the structure, where zeros would do something that takes long or ends the guest. */
  readonly words?: readonly number[]
  /** Arguments behind the pointer. */
  readonly more?: readonly number[]
}

const ARGUMENTS: readonly Argument[] = [
  // event_channel.h
  { what: 'evtchn_bind_interdomain', hypercall: 32, command: 0, bytes: [12, 12] },
  { what: 'evtchn_bind_virq', hypercall: 32, command: 1, bytes: [12, 12] },
  { what: 'evtchn_close', hypercall: 32, command: 3, bytes: [4, 4] },
  { what: 'evtchn_send', hypercall: 32, command: 4, bytes: [4, 4] },
  { what: 'evtchn_status', hypercall: 32, command: 5, bytes: [24, 24] },
  { what: 'evtchn_alloc_unbound', hypercall: 32, command: 6, bytes: [8, 8] },
  { what: 'evtchn_bind_ipi', hypercall: 32, command: 7, bytes: [8, 8] },
  { what: 'evtchn_bind_vcpu', hypercall: 32, command: 8, bytes: [8, 8] },
  { what: 'evtchn_unmask', hypercall: 32, command: 9, bytes: [4, 4] },
  { what: 'evtchn_expand_array', hypercall: 32, command: 12, bytes: [8, 8] },
  { what: 'evtchn_set_priority', hypercall: 32, command: 13, bytes: [8, 8] },
  // grant_table.h
  { what: 'gnttab_map_grant_ref', hypercall: 20, command: 0, bytes: [32, 32], more: [1] },
  { what: 'gnttab_unmap_grant_ref', hypercall: 20, command: 1, bytes: [24, 24], more: [1] },
  { what: 'gnttab_setup_table', hypercall: 20, command: 2, bytes: [24, 16], words: [SELF], more: [1] },
  { what: 'gnttab_copy', hypercall: 20, command: 5, bytes: [40, 24], more: [1] },
  { what: 'gnttab_query_size', hypercall: 20, command: 6, bytes: [16, 16], more: [1] },
  { what: 'gnttab_set_version', hypercall: 20, command: 8, bytes: [4, 4], words: [1], more: [1] },
  { what: 'gnttab_get_version', hypercall: 20, command: 10, bytes: [8, 8], words: [SELF], more: [1] },
  { what: 'gnttab_swap_grant_ref', hypercall: 20, command: 11, bytes: [12, 12], more: [1] },
  // memory.h
  { what: 'xen_add_to_physmap', hypercall: 12, command: 7, bytes: [24, 16], words: [SELF, 9] },
  { what: 'xen_remove_from_physmap', hypercall: 12, command: 15, bytes: [16, 8], words: [SELF] },
  // sched.h
  { what: 'sched_watchdog', hypercall: 29, command: 6, bytes: [8, 8], words: [9] },
  // hvm/hvm_op.h
  { what: 'xen_hvm_param, set', hypercall: 34, command: 0, bytes: [16, 16], words: [SELF, 99] },
  { what: 'xen_hvm_param, get', hypercall: 34, command: 1, bytes: [16, 16], words: [SELF, 99] },
  { what: 'xen_hvm_get_mem_type', hypercall: 34, command: 15, bytes: [16, 16], words: [SELF] },
  { what: 'xen_hvm_evtchn_upcall_vector', hypercall: 34, command: 23, bytes: [8, 8] },
]

describe.each(['64', '32'] as const)('a structure at the end of RAM, %s caller', (mode) => {
  test.each(ARGUMENTS)('$what', async ({ hypercall, command, bytes, words = [], more = [] }) => {
    const size = bytes[mode === '64' ? 0 : 1]
    const guest = new XenTestGuest(mode)
    const results: Record<number, boolean> = {}
    const expected: Record<number, boolean> = {}
    for (let behind = size + 4; behind >= -4; behind -= 4) {
      const pointer = RAM_BYTES - size + behind
      guest.write(RAM_BYTES - 64, new Uint8Array(64))
      words.slice(0, Math.max(0, size - behind) / 4).forEach((word, i) => guest.write32(pointer + 4 * i, word))
      results[behind] = (await guest.call(hypercall, command, pointer, ...more)) === E.FAULT
      expected[behind] = behind > 0
    }
    expect(results).toEqual(expected)
  })
})
