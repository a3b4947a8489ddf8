// The reference of cluster.json, made when the page is built. VitePress expects a default export.
import { tellFaults, tellFields } from '../build/cluster-file.ts'

declare const data: { readonly fields: string; readonly faults: string }
export { data }

export default { load: (): typeof data => ({ fields: tellFields(), faults: tellFaults() }) }
