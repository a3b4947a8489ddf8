import { type CpuProfile, CpuProfileBuilder, IDLE } from '../../src/machine/profile/guest-profile.ts'

/** A profile of 400 ms: `start_kernel` for 200, `memset_erms`, which it calls, for 150, and nothing for 50. */
export function sampleProfile(): CpuProfile {
  const builder = new CpuProfileBuilder()
  const kernel = builder.child(1, 'kernel', '')
  const main = builder.child(kernel, 'start_kernel', 'kernel')
  const leaf = builder.child(main, 'memset_erms', 'kernel')
  const ms = 1_000_000
  for (let i = 0; i < 100; i++) {
    builder.add(main, 2 * ms)
    builder.add(leaf, 1 * ms)
    builder.add(leaf, 0.5 * ms)
  }
  builder.add(builder.child(1, IDLE, ''), 50 * ms)
  return builder.build()
}
