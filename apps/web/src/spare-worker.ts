let spare: Worker | null = null
let wanted = false

/** Starts a Worker before its machine is chosen: its program is loaded while the user reads. */
export async function prepareWorker(): Promise<void> {
  wanted = true
  const { startMachineWorker } = await import('@retrap/web')
  if (!wanted || spare !== null) return
  const worker = startMachineWorker()
  spare = worker
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

/** The Worker that was started before; null: there is none. */
export function takeWorker(): Worker | null {
  wanted = false
  const worker = spare
  spare = null
  return worker
}
