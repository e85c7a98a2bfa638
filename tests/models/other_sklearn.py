#!/usr/bin/env python3
"""Models of scikit-learn by skl2onnx: every estimator that has a converter, on small seeded data: other_sklearn.py OUT [REGEX]"""
import warnings

import numpy as np
from other_common import BATCHES, build, write_model
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (calibration, cluster, compose, cross_decomposition, decomposition, discriminant_analysis, ensemble, feature_extraction,
                     feature_selection, gaussian_process, impute, isotonic, kernel_approximation, linear_model, mixture, model_selection,
                     multiclass, multioutput, naive_bayes, neighbors, neural_network, pipeline, preprocessing, random_projection, svm, tree)
from sklearn.gaussian_process import kernels as gk

warnings.filterwarnings("ignore")
rng = np.random.default_rng(7)
ROWS, WIDE = 300, 8
X = rng.normal(size=(ROWS, WIDE)).astype(np.float32)
SCORE = X[:, 0] + 0.7 * X[:, 1] * X[:, 2] - 0.5 * X[:, 3] + 0.2 * rng.normal(size=ROWS)
TWO = (SCORE > 0).astype(np.int64)
THREE = np.digitize(SCORE, [-0.6, 0.6]).astype(np.int64)
WORDS3 = np.array(["low", "mid", "high"])[THREE]
REAL = SCORE.astype(np.float32)
REAL2 = np.stack([SCORE, X[:, 4] - SCORE], 1).astype(np.float32)
LABELS2 = np.stack([TWO, (X[:, 4] > 0).astype(np.int64)], 1)
COUNTS = rng.integers(0, 6, size=(ROWS, WIDE)).astype(np.float32)
HOLES = np.where(rng.random((ROWS, WIDE)) < 0.15, np.nan, X).astype(np.float32)
COLOURS = np.array(["red", "green", "blue", "grey"])
CATS = np.stack([COLOURS[rng.integers(0, 4, ROWS)], np.array(["s", "m", "l"])[rng.integers(0, 3, ROWS)]], 1).astype(object)
VOCABULARY = "the quick brown fox jumps over a lazy dog while seven wizards brew strong black tea in Paris, don't they? x1 y2 été".split()
TEXTS = np.array([" ".join(rng.choice(VOCABULARY, rng.integers(1, 12))) for _ in range(ROWS)])


def draw(data, n):
    rows = np.random.default_rng(n).integers(0, len(data), n)
    x = data[rows]
    return (x + np.random.default_rng(n + 1).normal(size=x.shape, scale=0.05)).astype(x.dtype) if x.dtype.kind == "f" else x


def sk(model, y=None, x=X, dtype=np.float32, to=None, options=None, opset=None, batches=BATCHES, noise=True):
    """The builder of one fitted model with a dense numeric input."""
    def make(out, name):
        fitted = model.fit(x, y) if y is not None else model.fit(x)
        kind = {np.float32: FloatTensorType, np.float64: DoubleTensorType, np.int64: Int64TensorType}[dtype]([None, x.shape[1]])
        o = {id(fitted): options} if options else None
        onx = to_onnx(fitted, initial_types=[("X", kind)], options=o, target_opset=opset)
        cases = {f"b{n}": [(draw(x, n) if noise else x[np.arange(n) % len(x)]).astype(dtype)] for n in batches}
        write_model(out, name, onx, cases)
    return make


def strings(model, x=CATS, y=None, options=None, flat=False, batches=BATCHES):
    """.. with string columns, or a column of texts."""
    def make(out, name):
        fitted = model.fit(x, y) if y is not None else model.fit(x)
        shape = [None] if flat else [None, 1] if x.ndim == 1 else [None, x.shape[1]]
        onx = to_onnx(fitted, initial_types=[("X", StringTensorType(shape))], options=options)
        write_model(out, name, onx, {f"b{n}": [draw(x, n).reshape([n if d is None else d for d in shape])] for n in batches})
    return make


def mixed(out, name):
    import pandas as pd
    frame = pd.DataFrame({"a": X[:, 0], "b": HOLES[:, 1], "colour": CATS[:, 0], "size": CATS[:, 1], "n": COUNTS[:, 0].astype(np.int64)})
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    columns = compose.ColumnTransformer([("num", numbers, ["a", "b"]), ("one", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["colour", "size"]),
                                         ("count", preprocessing.KBinsDiscretizer(4, encode="onehot-dense"), ["n"])], remainder="drop")
    last = {"lr": linear_model.LogisticRegression(), "rf": ensemble.RandomForestClassifier(20, max_depth=5, random_state=0),
            "gb": ensemble.GradientBoostingClassifier(n_estimators=10)}[name.split("_")[-1]]
    fitted = pipeline.make_pipeline(columns, last).fit(frame, THREE)
    types = [("a", FloatTensorType([None, 1])), ("b", FloatTensorType([None, 1])), ("colour", StringTensorType([None, 1])),
             ("size", StringTensorType([None, 1])), ("n", Int64TensorType([None, 1]))]
    cases = {}
    for n in BATCHES:
        rows = np.random.default_rng(n).integers(0, ROWS, n)
        cases[f"b{n}"] = [frame[c].to_numpy()[rows].reshape(n, 1).astype(frame[c].dtype if c not in ("colour", "size") else object) for c in frame]
    write_model(out, name, to_onnx(fitted, initial_types=types), cases)


def classifiers():
    lm, nb = linear_model, naive_bayes
    r = dict(random_state=0)
    yield from {
        "ada": ensemble.AdaBoostClassifier(n_estimators=10, **r), "bagging": ensemble.BaggingClassifier(n_estimators=5, **r),
        "bagging_lr": ensemble.BaggingClassifier(lm.LogisticRegression(), n_estimators=4, max_features=0.6, **r),
        "calibrated_sig": calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=3),
        "calibrated_iso": calibration.CalibratedClassifierCV(tree.DecisionTreeClassifier(max_depth=4), method="isotonic", cv=3),
        "dt": tree.DecisionTreeClassifier(**r), "et1": tree.ExtraTreeClassifier(**r),
        "rf": ensemble.RandomForestClassifier(100, **r), "rf_small": ensemble.RandomForestClassifier(10, max_depth=4, **r),
        "et": ensemble.ExtraTreesClassifier(50, **r), "gb": ensemble.GradientBoostingClassifier(n_estimators=50, **r),
        "gb_init": ensemble.GradientBoostingClassifier(n_estimators=10, init="zero", **r),
        "hgb": ensemble.HistGradientBoostingClassifier(max_iter=50, **r),
        "gnb": nb.GaussianNB(), "bnb": nb.BernoulliNB(), "gpc": gaussian_process.GaussianProcessClassifier(**r),
        "gpc_rbf": gaussian_process.GaussianProcessClassifier(gk.ConstantKernel(1.5) * gk.RBF(1.2), **r),
        "knn": neighbors.KNeighborsClassifier(), "knn_dist": neighbors.KNeighborsClassifier(3, weights="distance"),
        "knn_l1": neighbors.KNeighborsClassifier(4, metric="manhattan"), "knn_mink": neighbors.KNeighborsClassifier(4, metric="minkowski", p=3),
        "radius": neighbors.RadiusNeighborsClassifier(3.5, outlier_label=0),
        "lda": discriminant_analysis.LinearDiscriminantAnalysis(), "qda": discriminant_analysis.QuadraticDiscriminantAnalysis(),
        "linsvc": svm.LinearSVC(), "lr": lm.LogisticRegression(), "lrcv": lm.LogisticRegressionCV(cv=3),
        "mlp": neural_network.MLPClassifier((20, 10), max_iter=60, **r), "mlp_log": neural_network.MLPClassifier((16,), "logistic", max_iter=60, **r),
        "nusvc": svm.NuSVC(probability=True, nu=0.2), "nusvc_noprob": svm.NuSVC(nu=0.2),
        "ovr": multiclass.OneVsRestClassifier(lm.LogisticRegression()), "ovo": multiclass.OneVsOneClassifier(lm.LogisticRegression()),
        "ovr_rf": multiclass.OneVsRestClassifier(ensemble.RandomForestClassifier(5, max_depth=4, **r)),
        "occ": multiclass.OutputCodeClassifier(lm.LogisticRegression(), **r),
        "pa": lm.PassiveAggressiveClassifier() if hasattr(lm, "PassiveAggressiveClassifier") else lm.SGDClassifier(),
        "perceptron": lm.Perceptron(), "ridgec": lm.RidgeClassifier(), "ridgeccv": lm.RidgeClassifierCV(),
        "sgd_hinge": lm.SGDClassifier(**r), "sgd_log": lm.SGDClassifier(loss="log_loss", **r), "sgd_huber": lm.SGDClassifier(loss="modified_huber", **r),
        "svc_rbf": svm.SVC(probability=True), "svc_lin": svm.SVC(kernel="linear", probability=True), "svc_poly": svm.SVC(kernel="poly", probability=True),
        "svc_sig": svm.SVC(kernel="sigmoid", probability=True), "svc_noprob": svm.SVC(), "svc_ovo": svm.SVC(decision_function_shape="ovo"),
        "svc_break": svm.SVC(break_ties=True),
        "stack": ensemble.StackingClassifier([("a", lm.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3))], cv=3),
        "stack_pass": ensemble.StackingClassifier([("a", lm.LogisticRegression()), ("b", nb.GaussianNB())], cv=3, passthrough=True),
        "vote_hard": ensemble.VotingClassifier([("a", lm.LogisticRegression()), ("b", tree.DecisionTreeClassifier(max_depth=3)), ("c", nb.GaussianNB())]),
        "vote_soft": ensemble.VotingClassifier([("a", lm.LogisticRegression()), ("b", nb.GaussianNB())], voting="soft", weights=[2, 1]),
        "grid": model_selection.GridSearchCV(lm.LogisticRegression(), {"C": [0.1, 1]}, cv=3),
        "tuned": model_selection.TunedThresholdClassifierCV(lm.LogisticRegression(), cv=3),
    }.items()


def regressors():
    lm = linear_model
    r = dict(random_state=0)
    plain = "ARDRegression BayesianRidge ElasticNet ElasticNetCV HuberRegressor Lars LarsCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC "\
            "LinearRegression OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV QuantileRegressor RANSACRegressor Ridge RidgeCV SGDRegressor "\
            "TheilSenRegressor PassiveAggressiveRegressor"
    for n in plain.split():
        if hasattr(lm, n):
            yield n.lower(), getattr(lm, n)()
    yield from {
        "ada": ensemble.AdaBoostRegressor(n_estimators=10, **r), "bagging": ensemble.BaggingRegressor(n_estimators=5, **r),
        "dt": tree.DecisionTreeRegressor(**r), "rf": ensemble.RandomForestRegressor(100, **r), "et": ensemble.ExtraTreesRegressor(50, **r),
        "gb": ensemble.GradientBoostingRegressor(n_estimators=100, **r), "hgb": ensemble.HistGradientBoostingRegressor(max_iter=100, **r),
        "et1": tree.ExtraTreeRegressor(**r), "gpr": gaussian_process.GaussianProcessRegressor(alpha=0.1),
        **{f"gpr_{k}": gaussian_process.GaussianProcessRegressor(v, alpha=0.1, optimizer=None) for k, v in {
            "rbf": gk.ConstantKernel(2.0) * gk.RBF(2.0), "rbf_white": gk.RBF(2.0) + gk.WhiteKernel(0.1), "matern": gk.Matern(2.0, nu=1.5),
            "matern25": gk.Matern(2.0, nu=2.5), "rq": gk.RationalQuadratic(1.5, 0.8), "dot": gk.DotProduct(1.0), "sine": gk.ExpSineSquared(1.2, 3.0),
            "pair": gk.PairwiseKernel(gamma=0.3, metric="rbf")}.items()},
        "knn": neighbors.KNeighborsRegressor(), "knn_dist": neighbors.KNeighborsRegressor(4, weights="distance"),
        "radius": neighbors.RadiusNeighborsRegressor(4.0), "linsvr": svm.LinearSVR(), "mlp": neural_network.MLPRegressor((20, 10), max_iter=60, **r),
        "mlp_tanh": neural_network.MLPRegressor((16,), "tanh", max_iter=60, **r), "nusvr": svm.NuSVR(), "svr_rbf": svm.SVR(), "svr_poly": svm.SVR(kernel="poly"),
        "svr_lin": svm.SVR(kernel="linear"), "svr_sig": svm.SVR(kernel="sigmoid"), "pls": cross_decomposition.PLSRegression(3),
        "stack": ensemble.StackingRegressor([("a", lm.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))], cv=3),
        "vote": ensemble.VotingRegressor([("a", lm.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=3))]),
    }.items()


def transformers():
    p, d, fs = preprocessing, decomposition, feature_selection
    yield from {
        "binarizer": p.Binarizer(threshold=0.2), "centre": p.KernelCenterer(), "kbins": p.KBinsDiscretizer(5, encode="ordinal"),
        "kbins_onehot": p.KBinsDiscretizer(4, encode="onehot-dense"), "kbins_uniform": p.KBinsDiscretizer(4, encode="onehot", strategy="uniform"),
        "maxabs": p.MaxAbsScaler(), "minmax": p.MinMaxScaler(), "minmax_clip": p.MinMaxScaler((-1, 1), clip=True), "robust": p.RobustScaler(),
        "standard": p.StandardScaler(), "standard_mean": p.StandardScaler(with_std=False), "norm_l1": p.Normalizer("l1"), "norm_l2": p.Normalizer("l2"),
        "norm_max": p.Normalizer("max"), "poly2": p.PolynomialFeatures(2), "poly3i": p.PolynomialFeatures(3, interaction_only=True, include_bias=False),
        "power": p.PowerTransformer(), "quantile": p.QuantileTransformer(n_quantiles=50), "quantile_normal": p.QuantileTransformer(n_quantiles=50, output_distribution="normal"),
        "spline": p.SplineTransformer(), "function": p.FunctionTransformer(),
        "pca": d.PCA(4), "pca_whiten": d.PCA(4, whiten=True), "ipca": d.IncrementalPCA(4), "tsvd": d.TruncatedSVD(4),
        "kpca_rbf": d.KernelPCA(4, kernel="rbf"), "kpca_poly": d.KernelPCA(4, kernel="poly"), "kpca_lin": d.KernelPCA(4),
        "kpca_cos": d.KernelPCA(4, kernel="cosine"), "kpca_sig": d.KernelPCA(4, kernel="sigmoid"), "ica": d.FastICA(4, random_state=0),
        "kmeans": cluster.KMeans(5, n_init=1, random_state=0), "mbkmeans": cluster.MiniBatchKMeans(5, n_init=1, random_state=0),
        "gmm": mixture.GaussianMixture(4, random_state=0), "gmm_diag": mixture.GaussianMixture(4, covariance_type="diag", random_state=0),
        "gmm_tied": mixture.GaussianMixture(4, covariance_type="tied", random_state=0), "gmm_sph": mixture.GaussianMixture(4, covariance_type="spherical", random_state=0),
        "bgmm": mixture.BayesianGaussianMixture(n_components=4, random_state=0), "iforest": ensemble.IsolationForest(n_estimators=50, random_state=0),
        "lof": neighbors.LocalOutlierFactor(novelty=True), "ocsvm": svm.OneClassSVM(), "ocsvm_poly": svm.OneClassSVM(kernel="poly"),
        "sgdoc": linear_model.SGDOneClassSVM(random_state=0), "grp": random_projection.GaussianRandomProjection(n_components=4, random_state=0),
        "nn": neighbors.NearestNeighbors(n_neighbors=4), "knnt": neighbors.KNeighborsTransformer(n_neighbors=3), "varth": fs.VarianceThreshold(),
        "rte": ensemble.RandomTreesEmbedding(10, random_state=0), "union": pipeline.FeatureUnion([("a", d.PCA(2)), ("b", p.MinMaxScaler())]),
        "nystroem": kernel_approximation.Nystroem(n_components=20, random_state=0),
    }.items()


def all_models():
    m = {}
    for n, e in classifiers():
        m[f"sk_c_{n}_2"] = sk(e, TWO)
    for n, e in classifiers():
        m[f"sk_c_{n}_words"] = sk(e, WORDS3)
    for n, e in classifiers():
        if n not in ("tuned",):
            m[f"sk_c_{n}_3nz"] = sk(e, THREE, options={"zipmap": False})
    for n in ("dt", "rf", "gb", "hgb", "svc_rbf", "lr", "knn", "gnb", "ada", "mlp", "nusvc", "gpc_rbf"):
        m[f"sk_c_{n}_f64"] = sk(dict(classifiers())[n], THREE, x=X.astype(np.float64), dtype=np.float64, options={"zipmap": False})
        m[f"sk_c_{n}_cols"] = sk(dict(classifiers())[n], THREE, options={"zipmap": "columns"})
    for n, e in regressors():
        m[f"sk_r_{n}"] = sk(e, REAL)
    for n in ("dt", "rf", "et", "linearregression", "ridge", "knn", "mlp", "pls", "gpr_rbf", "radius"):
        m[f"sk_r_{n}_multi"] = sk(dict(regressors())[n], REAL2)
    for n in ("dt", "rf", "gb", "hgb", "svr_rbf", "ridge", "knn", "gpr_rbf", "ada", "knn_dist"):
        m[f"sk_r_{n}_f64"] = sk(dict(regressors())[n], REAL, x=X.astype(np.float64), dtype=np.float64)
        m[f"sk_r_{n}_i64"] = sk(dict(regressors())[n], REAL, x=COUNTS, dtype=np.int64)
    for n in ("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"):
        m[f"sk_r_{n.lower()}"] = sk(getattr(linear_model, n)(), REAL2)
    for n in ("GammaRegressor", "PoissonRegressor", "TweedieRegressor"):
        m[f"sk_r_{n.lower()}"] = sk(getattr(linear_model, n)(), np.exp(REAL))
    for n, e in transformers():
        x = X @ X[:WIDE].T if n == "centre" else X
        m[f"sk_t_{n}"] = sk(e, x=x)
        m[f"sk_t_{n}_f64"] = sk(e, x=x.astype(np.float64), dtype=np.float64)
    for n, e in {"lda": discriminant_analysis.LinearDiscriminantAnalysis(), "nca": neighbors.NeighborhoodComponentsAnalysis(n_components=3, random_state=0)}.items():
        m[f"sk_t_{n}"] = sk(e, THREE)
    fs = feature_selection
    for n, e in {"univ": fs.GenericUnivariateSelect(param=60), "rfe": fs.RFE(linear_model.Ridge()), "rfecv": fs.RFECV(linear_model.Ridge()), "fdr": fs.SelectFdr(),
                 "fpr": fs.SelectFpr(), "frommodel": fs.SelectFromModel(linear_model.LogisticRegression()), "fwe": fs.SelectFwe(), "kbest": fs.SelectKBest(k=3),
                 "percentile": fs.SelectPercentile(percentile=50)}.items():
        m[f"sk_s_{n}"] = sk(e, TWO)
    for n, e in {"simple": impute.SimpleImputer(), "median": impute.SimpleImputer(strategy="median"), "constant": impute.SimpleImputer(strategy="constant", fill_value=3),
                 "frequent": impute.SimpleImputer(strategy="most_frequent"), "knn": impute.KNNImputer(n_neighbors=3), "indicator": impute.SimpleImputer(add_indicator=True)}.items():
        m[f"sk_i_{n}"] = sk(e, x=HOLES)
    m["sk_c_hgb_nan"] = sk(ensemble.HistGradientBoostingClassifier(max_iter=20), THREE, x=HOLES, options={"zipmap": False})
    m["sk_r_hgb_nan"] = sk(ensemble.HistGradientBoostingRegressor(max_iter=20), REAL, x=HOLES)
    for n, e in {"cnb": naive_bayes.ComplementNB(), "mnb": naive_bayes.MultinomialNB(), "catnb": naive_bayes.CategoricalNB(), "bnb": naive_bayes.BernoulliNB()}.items():
        m[f"sk_c_{n}"] = sk(e, THREE, x=COUNTS, noise=False)
        m[f"sk_c_{n}_i64"] = sk(e, THREE, x=COUNTS, dtype=np.int64, noise=False, options={"zipmap": False})
    for n, e in {"onehot": preprocessing.OneHotEncoder(handle_unknown="ignore"), "onehot_drop": preprocessing.OneHotEncoder(drop="first"),
                 "ordinal": preprocessing.OrdinalEncoder(), "ordinal_unk": preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)}.items():
        m[f"sk_e_{n}"] = strings(e)
        m[f"sk_e_{n}_i64"] = sk(e, x=COUNTS, dtype=np.int64)
        m[f"sk_e_{n}_f32"] = sk(e, x=COUNTS, noise=False)
    m["sk_e_target"] = strings(preprocessing.TargetEncoder(), y=TWO)
    m["sk_e_target_real"] = strings(preprocessing.TargetEncoder(), y=REAL)
    m["sk_e_label"] = strings(preprocessing.LabelEncoder(), x=CATS[:, 0], flat=True)
    m["sk_e_labelbin"] = sk(preprocessing.LabelBinarizer(), x=COUNTS[:, :1].astype(np.int64), dtype=np.int64)
    m["sk_e_hasher"] = strings(feature_extraction.FeatureHasher(8, input_type="string"))
    for n, e in {"r": multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=5)), "chain": multioutput.RegressorChain(linear_model.Ridge())}.items():
        m[f"sk_m_{n}"] = sk(e, REAL2)
    m["sk_m_c"] = sk(multioutput.MultiOutputClassifier(linear_model.LogisticRegression()), LABELS2)
    for n in ("dt", "rf_small", "knn", "mlp"):
        m[f"sk_m_c_{n}"] = sk(dict(classifiers())[n], LABELS2, options={"zipmap": False})
    t = feature_extraction.text
    for n, e in {"count": t.CountVectorizer(), "tfidf": t.TfidfVectorizer(), "tfidf_bi": t.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
                 "count_char": t.CountVectorizer(analyzer="char", ngram_range=(1, 3)), "count_wb": t.CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)),
                 "count_bin": t.CountVectorizer(binary=True, lowercase=False), "count_stop": t.CountVectorizer(stop_words=["the", "a"]),
                 "count_tok": t.CountVectorizer(token_pattern=r"[a-z]+"), "tfidf_l1": t.TfidfVectorizer(norm="l1", token_pattern="[a-zA-Z]+")}.items():
        m[f"sk_x_{n}"] = strings(e, x=TEXTS, flat=n != "count")
    m["sk_x_pipe_lr"] = strings(pipeline.make_pipeline(t.TfidfVectorizer(), linear_model.LogisticRegression()), x=TEXTS, y=THREE, flat=True)
    m["sk_x_pipe_nb"] = strings(pipeline.make_pipeline(t.CountVectorizer(), t.TfidfTransformer(), naive_bayes.MultinomialNB()), x=TEXTS, y=WORDS3, flat=True)
    for n in ("lr", "rf", "gb"):
        m[f"sk_mixed_{n}"] = mixed
    p = pipeline.make_pipeline
    m["sk_p_scale_pca_svc"] = sk(p(preprocessing.StandardScaler(), decomposition.PCA(5), svm.SVC(probability=True)), THREE)
    m["sk_p_poly_ridge"] = sk(p(preprocessing.PolynomialFeatures(3), linear_model.Ridge()), REAL)
    m["sk_p_imp_hgb"] = sk(p(impute.SimpleImputer(add_indicator=True), ensemble.HistGradientBoostingRegressor(max_iter=20)), REAL, x=HOLES)
    m["sk_p_tt"] = sk(compose.TransformedTargetRegressor(linear_model.Ridge()), REAL)
    m["sk_t_isotonic"] = sk(isotonic.IsotonicRegression(out_of_bounds="clip"), REAL, x=X[:, :1])
    big = np.random.default_rng(3).normal(size=(3000, 30)).astype(np.float32)
    bigy = (big[:, 0] * big[:, 1] + big[:, 2] > 0).astype(np.int64)
    m["sk_big_rf"] = sk(ensemble.RandomForestClassifier(200, random_state=0), bigy, x=big, options={"zipmap": False})
    m["sk_big_rfr"] = sk(ensemble.RandomForestRegressor(100, random_state=0), big[:, 0] * big[:, 1], x=big)
    m["sk_big_gb"] = sk(ensemble.GradientBoostingClassifier(n_estimators=300, max_depth=4), bigy, x=big, options={"zipmap": False})
    m["sk_big_hgb"] = sk(ensemble.HistGradientBoostingClassifier(max_iter=200), bigy, x=big, options={"zipmap": False})
    m["sk_big_svc"] = sk(svm.SVC(probability=True), bigy, x=big, options={"zipmap": False})
    m["sk_big_knn"] = sk(neighbors.KNeighborsClassifier(), bigy, x=big, options={"zipmap": False})
    m["sk_big_iforest"] = sk(ensemble.IsolationForest(n_estimators=100, random_state=0), x=big)
    m["sk_big_et"] = sk(ensemble.ExtraTreesClassifier(100, max_depth=10, random_state=0), np.arange(3000) % 10, x=big, options={"zipmap": False})
    for ops in ({"": 9, "ai.onnx.ml": 1}, {"": 11, "ai.onnx.ml": 2}, {"": 13, "ai.onnx.ml": 2}, {"": 15, "ai.onnx.ml": 3}, {"": 18, "ai.onnx.ml": 3},
                {"": 21, "ai.onnx.ml": 5}, {"": 24, "ai.onnx.ml": 5}):
        for n in ("lr", "rf_small", "gb", "svc_rbf", "knn", "hgb", "mlp", "ada", "gpc_rbf"):
            m[f"sk_o{ops['']}_c_{n}"] = sk(dict(classifiers())[n], THREE, opset=ops, batches=(1, 7))
        for n in ("kmeans", "gmm", "kbins", "poly2", "iforest"):
            m[f"sk_o{ops['']}_t_{n}"] = sk(dict(transformers())[n], opset=ops, batches=(1, 7))
    return m


if __name__ == "__main__":
    build(all_models())
