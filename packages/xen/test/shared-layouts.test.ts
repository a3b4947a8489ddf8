/** Offsets and sizes, against a C compiler that reads Xen's public headers. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { RESERVATION } from '../src/memory/memory-reservation.ts'
import { ARM_LAYOUTS, type SharedLayout, X86_LAYOUTS } from '../src/shared/shared-layouts.ts'

const headers = hasProgram('gcc')
  ? await debianMembers([{ package: 'libxen-dev', members: ['./usr/include/xen/*'] }])
  : undefined
const skipped = skipNote(headers !== undefined, 'gcc or apt is not there')

const INCLUDED = ['xen', 'memory', 'grant_table', 'event_channel', 'sched', 'vcpu', 'hvm/hvm_op', 'hvm/params']

/** Has gcc check C expressions. @returns what it says against them */
function check(flags: readonly string[], expressions: readonly string[]): string {
  const [folder = ''] = headers ?? []
  const source = [
    '#include <stddef.h>\n#include <stdint.h>',
    ...INCLUDED.map((name) => `#include <xen/${name}.h>`),
    ...expressions.map((expression) => `_Static_assert(${expression}, "${expression}");`),
  ].join('\n')
  const args = ['-ffreestanding', '-fsyntax-only', ...flags, '-I', join(folder, 'usr/include'), '-x', 'c', '-']
  return spawnSync('gcc', args, { input: source, encoding: 'utf8' }).stderr
}

const shared = (layout: SharedLayout): string[] => [
  `sizeof(struct vcpu_info) == ${layout.vcpuInfoBytes}`,
  `offsetof(struct vcpu_info, evtchn_pending_sel) == ${layout.selector}`,
  `offsetof(struct vcpu_info, time) == ${layout.time}`,
  `XEN_LEGACY_MAX_VCPUS == ${layout.placedVcpus}`,
  `offsetof(struct shared_info, evtchn_pending) == ${layout.pending}`,
  `offsetof(struct shared_info, evtchn_mask) == ${layout.mask}`,
  `8 * sizeof(((struct shared_info *)0)->evtchn_mask) == ${layout.ports}`,
  `8 * sizeof(xen_ulong_t) == ${2 ** layout.wordShift}`,
  `offsetof(struct shared_info, wc_version) == ${layout.wallClock}`,
  `offsetof(struct shared_info, xen_wc_sec_hi) == ${layout.wallClockHi}`,
]

const reservation = (compat: boolean): string[] => [
  `sizeof(struct xen_memory_reservation) == ${RESERVATION.size(compat)}`,
  `offsetof(struct xen_memory_reservation, domid) == ${RESERVATION.offset('domid', compat)}`,
]

/** Argument structures of 64-bit callers, which the layouts of this package's tables are the same for. */
const NATIVE_ARGUMENTS = [
  'sizeof(struct xen_add_to_physmap) == 24 && offsetof(struct xen_add_to_physmap, gpfn) == 16',
  'sizeof(struct xen_remove_from_physmap) == 16',
  'sizeof(struct xen_add_to_physmap_batch) == 32',
  'sizeof(struct gnttab_map_grant_ref) == 32 && sizeof(struct gnttab_unmap_grant_ref) == 24',
  'sizeof(struct gnttab_setup_table) == 24 && offsetof(struct gnttab_setup_table, frame_list) == 16',
  'sizeof(struct gnttab_copy) == 40 && sizeof(struct gnttab_query_size) == 16',
  'sizeof(struct evtchn_status) == 24 && sizeof(struct evtchn_init_control) == 24',
  'sizeof(struct sched_poll) == 24 && offsetof(struct sched_poll, timeout) == 16',
  'sizeof(struct multicall_entry) == 64 && sizeof(struct xen_hvm_param) == 16',
  'sizeof(struct vcpu_register_vcpu_info) == 16 && sizeof(struct vcpu_register_runstate_memory_area) == 8',
  'sizeof(struct vcpu_runstate_info) == 48',
]

const ARM_NUMBERS = [
  'XEN_HYPERCALL_TAG == 0xea1',
  'HVM_PARAM_CALLBACK_TYPE_PPI == 2 && HVM_PARAM_CALLBACK_TYPE_PPI_FLAG_LOW_LEVEL == 2',
]

test.skipIf(headers === undefined).each([
  {
    name: 'Arm',
    flags: ['-U__x86_64__', '-D__aarch64__'],
    facts: [...shared(ARM_LAYOUTS.native), ...reservation(false), ...NATIVE_ARGUMENTS, ...ARM_NUMBERS],
  },
  {
    name: '64-bit x86',
    flags: ['-m64'],
    facts: [...shared(X86_LAYOUTS.native), ...reservation(false), ...NATIVE_ARGUMENTS],
  },
  { name: '32-bit x86', flags: ['-m32'], facts: [...shared(X86_LAYOUTS.compat), ...reservation(true)] },
])(`the structures of $name guests are as a compiler lays them out${skipped}`, ({ flags, facts }) => {
  expect(check(flags, facts)).toBe('')
  // The compiler does look.
  expect(check(flags, [...facts, 'sizeof(struct shared_info) == 1'])).toContain('static assertion failed')
})
