import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pc } from '@retrap/machine'
import type { ArmMachine } from '@retrap/machine/arm'
import { TestError, type TestMachine } from '@retrap/test'
import type { PlannedStep } from './plan.ts'

/** A test's machine of either board. */
export type AnyTestMachine = TestMachine<Pc> | TestMachine<ArmMachine>

/** How a step is taken. */
export interface StepOptions {
  /** Host time that each wait may take. */
  readonly timeoutMs: number
  /** The end of a line, for a machine that has no prompt yet. Absent: a line whose output is looked at is a command. */
  readonly enter?: string
  /** Takes the pictures, by the names of their files. */
  readonly pictures: Map<string, Uint8Array>
}

/**
 * Takes a step: types, presses keys, waits, and takes a picture, in this order.
 *
 * @throws TestError where what is waited for does not come, as `TestMachine.until`; `ERR_STATE` where there is no picture
 */
export async function takeStep(
  machine: AnyTestMachine,
  { type, press = [], expect, screen, screenshot }: PlannedStep,
  { timeoutMs, enter, pictures }: StepOptions,
): Promise<void> {
  const waits = { timeoutMs }
  const isCommand = enter === undefined && machine.hasPrompt && type !== undefined && expect !== undefined
  if (type !== undefined && !isCommand) machine.typeLine(type)
  // Keys wait until the guest takes them.
  for (const keys of press) void machine.machine.keyboard.press(...keys)
  if (isCommand) {
    const output = await machine.command(type, waits)
    if (!output.includes(expect))
      throw new TestError('ERR_STATE', `expected ${JSON.stringify(expect)} in what '${type}' prints`)
  } else if (expect !== undefined) await machine.until(expect, waits)
  if (screen !== undefined) await machine.untilScreen(screen, waits)
  if (screenshot === undefined) return
  const picture = await machine.screenshot()
  if (picture === undefined)
    throw new TestError('ERR_STATE', `screenshot ${screenshot}: there is no picture, as the display is off`)
  pictures.set(screenshot, picture)
}

/** Writes pictures into the folder of their test. @throws what the host's file system throws */
export async function writePictures(folder: string, pictures: ReadonlyMap<string, Uint8Array>): Promise<void> {
  await mkdir(folder, { recursive: true })
  // oxlint-disable-next-line no-await-in-loop -- few
  for (const [name, bytes] of pictures) await writeFile(join(folder, name), bytes)
}
