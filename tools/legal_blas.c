/* A BLAS that is right and as unpleasant as the standard allows, for LD_PRELOAD under torch on Linux.

   Every element is a sum of its k products, each rounded once, in an order that depends on LEGAL_BLAS:
    align  on the addresses of the operands modulo 64 bytes (a kernel that peels loops to alignment)
    shape  on m, n, k and the number of products of a batch  (other kernels for other shapes)
    place  on the place of the element in the result         (tiles of 4 by 4, and what is left over at the edges)
    call   on a counter                                      (threads, atomics)
   A BLAS promises none of this to be otherwise. Another value, or none, ends the process: a run that tests nothing is
   no test. For the same reason `legal_blas_calls` counts the calls, and each process that calls at all adds a line
   with its number and the mode to the file LEGAL_BLAS_LOG.

   torch built with MKL calls ?gemm_, ?gemv_, ?dot_ and cblas_?gemm_batch through its procedure linkage table, so that
   those here take their place; what it has of these names is told by
       readelf -rW libtorch_cpu.so | grep JUMP_SLO | grep -E "gemm|gemv|dot"
   A torch that is linked with OpenBLAS calls the Fortran names. Not covered: complex numbers; cblas_sgemm_pack and
   _compute, for packed weights; products in half precision, which torch leaves to oneDNN or computes by itself, but for
   cblas_gemm_bf16bf16f32 and its like; and numpy, whose wheels call a BLAS under names of their own. */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum mode { ALIGN, SHAPE, PLACE, CALL };
static const char *const NAMES[] = {"align", "shape", "place", "call"};
static enum mode mode;
static unsigned long calls;

__attribute__((constructor)) static void read_mode(void) {
    const char *wanted = getenv("LEGAL_BLAS");
    for (int i = 0; wanted && i < 4; i++)
        if (!strcmp(wanted, NAMES[i])) {
            mode = (enum mode)i;
            return;
        }
    fprintf(stderr, "LEGAL_BLAS: expected align, shape, place or call, got %s\n", wanted ? wanted : "nothing");
    _exit(2);
}

unsigned long legal_blas_calls(void) { return __atomic_load_n(&calls, __ATOMIC_RELAXED); }

/* The number of this call, from 1 on. The first one is logged. */
static unsigned long count_call(void) {
    unsigned long number = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    const char *path = number == 1 ? getenv("LEGAL_BLAS_LOG") : NULL;
    if (path) {
        int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
        if (log < 0 || dprintf(log, "%ld %s\n", (long)getpid(), NAMES[mode]) < 0 || close(log)) {
            perror("LEGAL_BLAS_LOG");
            _exit(2);
        }
    }
    return number;
}

/* Spreads the bits of a number over all of it. */
static uint32_t mixed(uint32_t x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

/* What the order of all elements of a call depends on. */
static uint32_t order_of_call(const void *a, const void *b, long m, long n, long k, long batch) {
    unsigned long number = count_call();
    switch (mode) {
    case ALIGN: return mixed(1 + (uint32_t)((uintptr_t)a % 64 * 64 + (uintptr_t)b % 64));
    case SHAPE: return mixed(mixed(mixed(mixed((uint32_t)m) + (uint32_t)n) + (uint32_t)k) + (uint32_t)batch);
    case CALL: return mixed((uint32_t)number);
    default: return 0;
    }
}

/* What the order of one element, in row i and column j of m and n, depends on. */
static uint32_t order_of_element(uint32_t of_call, long i, long j, long m, long n) {
    if (mode != PLACE) return of_call;
    return mixed((uint32_t)(1 + i % 4 + 4 * (j % 4) + 16 * (i >= m / 4 * 4) + 32 * (j >= n / 4 * 4)));
}

#define ORDERS 6

#define PRECISION(T, S)                                                                                               \
    /* The sum over p of a[p * step_a] * b[p * step_b]; products with 0 count: 0 times infinity is no number. */      \
    static T S##sum(const T *a, long step_a, const T *b, long step_b, long k, uint32_t order) {                       \
        T lanes[4] = {0, 0, 0, 0}, sum = 0;                                                                           \
        long turn = k / 3;                                                                                            \
        switch (order % ORDERS) {                                                                                     \
        case 0:                                                                                                       \
            for (long p = 0; p < k; p++) sum += a[p * step_a] * b[p * step_b];                                        \
            return sum;                                                                                               \
        case 1:                                                                                                       \
            for (long p = k - 1; p >= 0; p--) sum += a[p * step_a] * b[p * step_b];                                   \
            return sum;                                                                                               \
        case 2:                                                                                                       \
            for (long p = 0; p < k; p++) lanes[p % 2] += a[p * step_a] * b[p * step_b];                               \
            return lanes[0] + lanes[1];                                                                               \
        case 3:                                                                                                       \
            for (long p = 0; p < k; p++) {                                                                            \
                long q = p + turn < k ? p + turn : p + turn - k;                                                      \
                sum += a[q * step_a] * b[q * step_b];                                                                 \
            }                                                                                                         \
            return sum;                                                                                               \
        default:                                                                                                      \
            for (long p = 0; p < k; p++) lanes[p % 4] += a[p * step_a] * b[p * step_b];                               \
            if (order % ORDERS == 4) return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);                            \
            return ((lanes[3] + lanes[2]) + lanes[1]) + lanes[0];                                                     \
        }                                                                                                             \
    }                                                                                                                 \
    /* What an element becomes. With beta 0 it is not read. */                                                        \
    static void S##put(T *to, T alpha, T sum, T beta) {                                                               \
        *to = beta == 0 ? alpha * sum : alpha * sum + beta * *to;                                                     \
    }                                                                                                                 \
    /* C (m, n) = alpha * op(A) op(B) + beta * C, stored by columns. With alpha 0 A and B are not read. */            \
    static void S##gemm(int turn_a, int turn_b, long m, long n, long k, T alpha, const T *a, long lda, const T *b,    \
                        long ldb, T beta, T *c, long ldc, long batch) {                                               \
        uint32_t of_call = order_of_call(a, b, m, n, k, batch);                                                       \
        for (long j = 0; j < n; j++)                                                                                  \
            for (long i = 0; i < m; i++) {                                                                            \
                uint32_t order = order_of_element(of_call, i, j, m, n);                                               \
                T sum = S##sum(turn_a ? a + i * lda : a + i, turn_a ? 1 : lda, turn_b ? b + j : b + j * ldb,          \
                               turn_b ? ldb : 1, alpha == 0 ? 0 : k, order);                                          \
                S##put(c + j * ldc + i, alpha, sum, beta);                                                            \
            }                                                                                                         \
    }
PRECISION(float, s)
PRECISION(double, d)

static int turned(const char *op) { return *op != 'N' && *op != 'n'; }

enum { ROW_MAJOR = 101, NO_TRANS = 111 };

#define FORTRAN(T, S)                                                                                                 \
    void S##gemm_(const char *op_a, const char *op_b, const int *m, const int *n, const int *k, const T *alpha,       \
                  const T *a, const int *lda, const T *b, const int *ldb, const T *beta, T *c, const int *ldc) {      \
        S##gemm(turned(op_a), turned(op_b), *m, *n, *k, *alpha, a, *lda, b, *ldb, *beta, c, *ldc, 1);                 \
    }                                                                                                                 \
    void S##gemv_(const char *op, const int *m, const int *n, const T *alpha, const T *a, const int *lda, const T *x, \
                  const int *step_x, const T *beta, T *y, const int *step_y) {                                        \
        int turn = turned(op);                                                                                        \
        long rows = turn ? *n : *m, k = turn ? *m : *n;                                                               \
        if (k == 0) return; /* the standard leaves y as it is, unlike C of a product with k = 0 */                    \
        uint32_t of_call = order_of_call(a, x, *m, *n, k, 1);                                                         \
        const T *first_x = *step_x < 0 ? x - (k - 1) * (long)*step_x : x;                                             \
        T *first_y = *step_y < 0 ? y - (rows - 1) * (long)*step_y : y;                                                \
        for (long i = 0; i < rows; i++) {                                                                             \
            uint32_t order = order_of_element(of_call, i, 0, rows, 1);                                                \
            T sum = S##sum(turn ? a + i * *lda : a + i, turn ? 1 : *lda, first_x, *step_x, *alpha == 0 ? 0 : k,       \
                           order);                                                                                    \
            S##put(first_y + i * (long)*step_y, *alpha, sum, *beta);                                                  \
        }                                                                                                             \
    }                                                                                                                 \
    T S##dot_(const int *k, const T *x, const int *step_x, const T *y, const int *step_y) {                           \
        const T *first_x = *step_x < 0 ? x - (*k - 1) * (long)*step_x : x;                                            \
        const T *first_y = *step_y < 0 ? y - (*k - 1) * (long)*step_y : y;                                            \
        uint32_t order = order_of_element(order_of_call(x, y, 1, 1, *k, 1), 0, 0, 1, 1);                              \
        return S##sum(first_x, *step_x, first_y, *step_y, *k, order);                                                 \
    }                                                                                                                 \
    void cblas_##S##gemm_batch(int layout, const int *op_a, const int *op_b, const int *m, const int *n,              \
                               const int *k, const T *alpha, const T **a, const int *lda, const T **b,                \
                               const int *ldb, const T *beta, T **c, const int *ldc, int groups, const int *sizes) {  \
        long at = 0;                                                                                                  \
        for (int g = 0; g < groups; g++)                                                                              \
            for (int i = 0; i < sizes[g]; i++, at++) {                                                                \
                int turn_a = op_a[g] != NO_TRANS, turn_b = op_b[g] != NO_TRANS;                                       \
                if (layout == ROW_MAJOR) /* the transpose of it all, by columns */                                    \
                    S##gemm(turn_b, turn_a, n[g], m[g], k[g], alpha[g], b[at], ldb[g], a[at], lda[g], beta[g],        \
                            c[at], ldc[g], sizes[g]);                                                                 \
                else                                                                                                  \
                    S##gemm(turn_a, turn_b, m[g], n[g], k[g], alpha[g], a[at], lda[g], b[at], ldb[g], beta[g],        \
                            c[at], ldc[g], sizes[g]);                                                                 \
            }                                                                                                         \
    }
FORTRAN(float, s)
FORTRAN(double, d)
