import { Processor, X86CpuError, cpuModel } from '@retrap/x86-cpu'
import type { CpuModel } from '@retrap/x86-cpu'
import { type MachineRun, requireSupported } from '../combinations/combinations.ts'
import { traitsOf } from '../combinations/traits.ts'
import { MachineError } from '../errors.ts'
import { checkOptionValues, object, show } from '../option-values.ts'
import type { PcOptions } from '../options/pc-options.ts'

/**
 * Checks what a caller without a type checker may have got wrong, and that there is such a machine.
 *
 * @throws MachineError `ERR_OPTION`, `ERR_CPUS` or `ERR_NOTHING_TO_RUN`, naming the option, its value and what was expected
 */
export function checkPcOptions(options: PcOptions, run: MachineRun): void {
  if (!object(options)) throw new MachineError('ERR_OPTION', `options ${show(options)}: expected an object`)
  checkOptionValues(options)
  const cpus = options.cpus ?? 1
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 128) {
    throw new MachineError('ERR_CPUS', `${show(cpus)} CPUs: expected 1–128`)
  }
  checkCpu(options.cpu ?? 'max', cpus)
  const firmware = options.firmware !== undefined || (options.flash?.length ?? 0) > 0
  if (options.kernel === undefined && !firmware && options.snapshot === undefined) {
    throw new MachineError('ERR_NOTHING_TO_RUN', 'neither a kernel nor a firmware image was given')
  }
  if (options.firmware !== undefined && (options.flash?.length ?? 0) > 0) {
    throw new MachineError('ERR_OPTION', 'both a firmware image and flash were given: expected one')
  }
  requireSupported('make', traitsOf(options, run))
  if (options.smm !== true && options.flash?.some(({ secure }) => secure) === true) {
    throw new MachineError('ERR_OPTION', 'flash: secure: expected smm true; nothing could write to the flash')
  }
  if (options.kernel !== undefined && firmware && options.drives?.some(({ bootIndex }) => bootIndex === 0) === true) {
    throw new MachineError('ERR_OPTION', 'drives: bootIndex 0: expected 1 or more; firmware starts the kernel first')
  }
}

/** @throws MachineError `ERR_OPTION` for a processor that cannot be, `ERR_CPUS` for several that could not start each other */
function checkCpu(cpu: CpuModel | string, cpus: number): void {
  let processor: Processor
  try {
    processor = new Processor(typeof cpu === 'string' ? cpuModel(cpu) : cpu)
  } catch (error) {
    if (!(error instanceof X86CpuError)) throw error
    throw new MachineError('ERR_OPTION', `cpu ${show(cpu)}: ${error.message}`, { cause: error })
  }
  if (cpus > 1 && !processor.has('APIC')) {
    throw new MachineError('ERR_CPUS', `${cpus} CPUs of ${processor.model.name}: without apic expected 1`)
  }
}
