import { FOUR_GIB } from '@retrap/basics'
import { CfiFlash } from '@retrap/devices/flash'
import type { DeviceSite, PlacedDevices } from './placed-devices.ts'

type FlashSite = Pick<DeviceSite, 'options' | 'flash' | 'inSystemManagement'>

/** Makes flash memories: the first one ends at 4 GiB, which holds the reset vector, and the next one lies below. */
export function place({ options, flash, inSystemManagement }: FlashSite): PlacedDevices {
  let end = FOUR_GIB
  const models = (options.flash ?? []).map(
    ({ medium, readOnly = medium.properties.readOnly, secure = false }, unit) => {
      const contents = flash[unit]!
      end -= contents.length
      return new CfiFlash({
        name: `flash-${unit}`,
        gpa: end,
        contents,
        ...(readOnly ? { readOnly } : { medium }),
        ...(secure && { isTrusted: inSystemManagement }),
      })
    },
  )
  return { models, settled: () => Promise.all(models.map((model) => model.settled())) }
}
