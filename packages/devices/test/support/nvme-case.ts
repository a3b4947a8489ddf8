import { RandomNvme } from './random-nvme.ts'
import type { Choose } from './random-ide.ts'

/** A guest that does anything: nothing throws, each command is answered once, and no byte is moved after a reset. */
export async function hostileNvme(choose: Choose, steps: number): Promise<string | undefined> {
  const board = new RandomNvme()
  await board.begin(choose)
  for (let i = 0; i < steps; i++) {
    await board.act(choose)
    if (board.violation !== undefined) return `step ${i}: ${board.violation}`
  }
  return board.atEnd()
}

/** A controller that was saved and restored elsewhere goes on as the first one does. */
export async function sameAfterSave(choose: Choose, steps: number): Promise<string | undefined> {
  const one = new RandomNvme()
  await one.begin(choose)
  for (let i = 0; i < steps; i++) {
    await one.act(choose)
  }
  // A late answer comes when the host has it; those of now come in the order of their instants.
  await one.medium.release()
  await one.nvme.pass()
  for (let i = 0; i < 3; i++) one.burst(choose)
  const two = await one.twin(choose(4) === 0)
  const numbers: number[] = []
  const record: Choose = (bound) => {
    const chosen = choose(bound)
    numbers.push(chosen)
    return chosen
  }
  const first = await goOn(one, record)
  const second = await goOn(two, () => numbers.shift() ?? 0)
  const at = first.findIndex((seen, i) => seen !== second[i])
  if (at >= 0) return `step ${at}: ${second[at]}, and without a save ${first[at]}`
  if (Buffer.compare(one.nvme.machine.ram, two.nvme.machine.ram) !== 0) return 'memory differs'
  if (Buffer.compare(one.medium.bytes, two.medium.bytes) !== 0) return 'the medium differs'
  return one.violation ?? two.violation
}

async function goOn(board: RandomNvme, choose: Choose): Promise<string[]> {
  const seen: string[] = []
  for (let i = 0; i < 12; i++) {
    await board.nvme.pass()
    seen.push(JSON.stringify(board.observed()))
    await board.act(choose)
    board.medium.hold = false
  }
  await board.settle()
  return seen
}
