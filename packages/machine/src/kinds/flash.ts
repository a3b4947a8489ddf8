import { CfiFlash } from '@retrap/devices/flash'
import type { PcSite, PlacedDevices } from '../device-kinds.ts'

const FOUR_GIB = 2 ** 32

/** Makes flash memories: the first ends at 4 GiB, where processors start, and the next one lies below it. */
export function place({ options, flash }: Pick<PcSite, 'options' | 'flash'>): PlacedDevices {
  let end = FOUR_GIB
  const models = (options.flash ?? []).map(({ medium, readOnly = medium.properties.readOnly }, unit) => {
    const contents = flash[unit]!
    end -= contents.length
    return new CfiFlash({ name: `flash-${unit}`, gpa: end, contents, ...(readOnly ? { readOnly } : { medium }) })
  })
  return { models, settled: () => Promise.all(models.map((model) => model.settled())) }
}
