export { testCluster } from './test-cluster.ts'
export { type CrashTestOptions, testCrashes } from './test-crashes.ts'
