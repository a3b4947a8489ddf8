import { replayPc } from '@retrap/machine'
import { fileSource, machineInside } from '../../../src/machine/recording/recorded-file.ts'
import { READERS, type Seen } from './readers.ts'

/**
 * Compares what readers show of a recording.
 *
 * @param recorded - the machine that was recorded, at its end; without `printed` nobody's is compared
 * @returns the first difference; undefined: there is none
 */
export async function differenceAmong(
  file: string,
  recorded: Seen,
  names: readonly string[],
  placesIn: (end: number) => readonly (number | 'end')[],
): Promise<string | undefined> {
  const source = await fileSource(file)
  const replay = await replayPc({ ...(await machineInside(file))!, clock: 'deterministic' }, source)
  const { end } = replay
  replay.close()
  await source.close()
  const places = placesIn(end)
  const seen: [reader: string, place: number | 'end', state: Seen][] = [['the recorded machine', 'end', recorded]]
  for (const name of names) {
    const reader = await READERS[name]!(file)
    try {
      for (const place of places) seen.push([name, place, await reader.at(place)])
    } finally {
      await reader.close()
    }
  }
  for (const [name, place, state] of seen) {
    const [first, , other] = seen.find((one) => one[1] === place)!
    const [one, two] = [other, state].map(({ ns, registers, ram }) => JSON.stringify({ ns, registers, ram }))
    if (one !== two) return `at ${place} of ${end}: ${first} shows ${one}, and ${name} ${two}`
    if (recorded.printed === undefined || state.printed === undefined) continue
    const [printer, , { printed }] = seen.find((each) => each[1] === place && each[2].printed !== undefined)!
    if (printed !== state.printed)
      return `at ${place} of ${end}: ${printer} has printed ${JSON.stringify(printed)}, and ${name} ${JSON.stringify(state.printed)}`
  }
  return undefined
}
