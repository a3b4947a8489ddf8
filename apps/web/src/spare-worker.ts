let spare: Worker | null = null
let wanted = false
/** Whether a Worker that is started makes an Arm board's code. */
let withArm = false

/** Starts a Worker before its machine is chosen: its program is loaded while the user reads. */
export async function prepareWorker(): Promise<void> {
  wanted = true
  const { prepareArmBoard, startMachineWorker } = await import('@retrap/web')
  if (!wanted || spare !== null) return
  const worker = startMachineWorker()
  spare = worker
  if (withArm) prepareArmBoard(worker)
  // A machine that needs one starts its own then, and says what is wrong.
  worker.addEventListener(
    'error',
    (event) => {
      event.preventDefault()
      if (spare === worker) spare = null
    },
    { once: true },
  )
}

/** Has the Worker make an Arm board's code as well. For a site that offers a system for one. */
export async function prepareArm(): Promise<void> {
  withArm = true
  if (spare === null) return
  const { prepareArmBoard } = await import('@retrap/web')
  if (spare !== null) prepareArmBoard(spare)
}

/** The Worker that was started before; null: there is none. */
export function takeWorker(): Worker | null {
  wanted = false
  const worker = spare
  spare = null
  return worker
}
